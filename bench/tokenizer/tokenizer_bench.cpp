// Tokenises a list of texts as often as it is told to; bench/tokenizer/tokenizer_bench.py drives it
// in turns with the Hugging Face library.
//
//   bench_tokenizer TOKENIZER_JSON TEXTS      TEXTS: texts that each end in a zero byte
//
// A line "THREADS SPANS" on standard input (SPANS 1: with the place of each token) is answered by
// "SECONDS CPU_SECONDS IDS CHECKSUM".
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/error.h"
#include "runtime/data/tokenizer.h"

namespace {

using athanor::Tokenizer;

std::vector<std::string_view> split(std::string_view all) {
  std::vector<std::string_view> texts;
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\0', at), all.size());
    texts.push_back(all.substr(at, end - at));
    at = end + 1;
  }
  return texts;
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Threads take the next text; all ids are kept, as the other side keeps them.
std::vector<std::vector<int32_t>> encode_all(const Tokenizer& tokenizer,
                                             const std::vector<std::string_view>& texts,
                                             int threads, bool spans) {
  std::vector<std::vector<int32_t>> ids(texts.size());
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < texts.size(); i = next++) {
      ids[i] = spans ? tokenizer.encode_with_spans(texts[i], false).ids
                     : tokenizer.encode(texts[i], false);
    }
  };
  std::vector<std::thread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  return ids;
}

// 31-multiplied sum, as the script computes it.
uint64_t checksum(const std::vector<std::vector<int32_t>>& lists, uint64_t& count) {
  uint64_t sum = 0;
  for (const auto& ids : lists) {
    for (const int32_t id : ids) sum = sum * 31 + static_cast<uint64_t>(id);
    count += ids.size();
  }
  return sum;
}

int run(const char* tokenizer_json, const char* texts_file) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_json);
  std::ifstream in(texts_file, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  const std::vector<std::string_view> texts = split(all);
  int threads = 0;
  int spans = 0;
  while (std::cin >> threads >> spans) {
    const auto begin = std::chrono::steady_clock::now();
    const double cpu = cpu_seconds();
    const auto ids = encode_all(tokenizer, texts, threads, spans != 0);
    const double used = cpu_seconds() - cpu;
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
    uint64_t count = 0;
    const uint64_t sum = checksum(ids, count);
    std::printf("%.9f %.9f %llu %llu\n", wall.count(), used, static_cast<unsigned long long>(count),
                static_cast<unsigned long long>(sum));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_tokenizer TOKENIZER_JSON TEXTS\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const athanor::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
