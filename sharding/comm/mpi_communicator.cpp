#include "sharding/comm/mpi_communicator.h"

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "sharding/comm/exchange_communicator.h"

namespace athanor {
namespace {

constexpr int64_t kMaxMessageBytes = int64_t{256} << 20;  // MPI counts are int

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error(ErrorKind::kLostPeer, std::string(call) + ": " + std::string(text, text + length));
}

// Waits without holding a core: a few immediate tests, then sleeps that grow to 200 us.
void wait_all(std::vector<MPI_Request>& requests) {
  int done = 0;
  int64_t pause_us = 0;
  for (int attempt = 0;; ++attempt) {
    check(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
        "MPI_Testall");
    if (done != 0) return;
    if (attempt < 50) {
      std::this_thread::yield();
    } else {
      pause_us = std::min<int64_t>(pause_us + 10, 200);
      std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
    }
  }
}

class MpiCommunicator final : public ExchangeCommunicator {
 public:
  MpiCommunicator(int rank, int world_size, Allocator& allocator, Stream& stream)
      : ExchangeCommunicator(rank, world_size, allocator), stream_(stream) {
    requests_.reserve(2 * static_cast<size_t>(world_size));
  }

  ~MpiCommunicator() override {
    try {
      stream_.submit(Cost{"mpi_finalize"}, [](ExecContext&) { MPI_Finalize(); });
      stream_.synchronize();
    } catch (const Error&) {
      // The stream has failed: there is no orderly end, the launcher aborts.
    }
  }

  void abort(const std::string&, int exit_code) noexcept override {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
  }

 protected:
  void do_all_gather(void* out, const void* in, int64_t bytes, Stream& stream) override {
    stream.submit(Cost{"all_gather", 0, bytes, bytes * (world_size() - 1)},
                  [this, out, in, bytes](ExecContext&) {
                    auto* base = static_cast<std::byte*>(out);
                    auto* own = static_cast<const std::byte*>(in);
                    if (base + rank() * bytes != own) {
                      std::copy(own, own + bytes, base + rank() * bytes);
                    }
                    exchange_blocks(base, bytes);
                  });
  }

  void exchange_chunk(const float* in, int64_t stride, int64_t count, int present) override {
    const int items = narrow<int>(count);
    requests_.clear();
    for_peers([&](int peer) {
      if (peer >= present) return;
      check(MPI_Irecv(staging(peer), items, MPI_FLOAT, peer, 0, MPI_COMM_WORLD,
                      &requests_.emplace_back()),
            "MPI_Irecv");
    });
    for_peers([&](int peer) {
      if (rank() >= present) return;
      check(MPI_Isend(in + peer * stride, items, MPI_FLOAT, peer, 0, MPI_COMM_WORLD,
                      &requests_.emplace_back()),
            "MPI_Isend");
    });
    wait();
  }

  void do_barrier(Stream& stream) override {
    stream.submit(Cost{"barrier"}, [this](ExecContext&) {
      requests_.assign(1, MPI_REQUEST_NULL);
      check(MPI_Ibarrier(MPI_COMM_WORLD, requests_.data()), "MPI_Ibarrier");
      wait();
    });
  }

 private:
  // Own block is in place; everybody gets everybody's.
  void exchange_blocks(std::byte* base, int64_t bytes) {
    for (int64_t offset = 0; offset < bytes; offset += kMaxMessageBytes) {
      const int count = narrow<int>(std::min(kMaxMessageBytes, bytes - offset));
      requests_.clear();
      for_peers([&](int peer) {
        check(MPI_Irecv(base + peer * bytes + offset, count, MPI_BYTE, peer, 0, MPI_COMM_WORLD,
                        &requests_.emplace_back()),
              "MPI_Irecv");
      });
      for_peers([&](int peer) {
        check(MPI_Isend(base + rank() * bytes + offset, count, MPI_BYTE, peer, 0, MPI_COMM_WORLD,
                        &requests_.emplace_back()),
              "MPI_Isend");
      });
      wait();
    }
  }

  void wait() {
    watched_exchange(activity(), [this] { wait_all(requests_); });
  }

  Stream& stream_;
  std::vector<MPI_Request> requests_;
};

}  // namespace

bool built_with_mpi() { return true; }

std::unique_ptr<Communicator> make_mpi_communicator(Allocator& allocator, Stream& stream) {
  int rank = 0;
  int world_size = 1;
  int* rank_out = &rank;
  int* world_out = &world_size;
  stream.submit(Cost{"mpi_init"}, [=](ExecContext&) {
    int provided = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(MPI_COMM_WORLD, rank_out), "MPI_Comm_rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, world_out), "MPI_Comm_size");
  });
  stream.synchronize();
  return std::make_unique<MpiCommunicator>(rank, world_size, allocator, stream);
}

}  // namespace athanor
