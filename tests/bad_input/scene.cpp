#include "tests/bad_input/scene.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <sstream>

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxPeakBytes = int64_t{512} << 20;

const fs::path kGolden = fs::path(ATHANOR_SOURCE_DIR) / "tests/golden/llama_tied";

std::string config_text(const Scene& scene) {
  std::string text;
  for (const auto& [key, value] : scene.keys) text += key + ": " + value + "\n";
  return text + scene.tail;
}

std::vector<std::string> command_of(const Scene& scene) {
  std::vector<std::string> command = scene.prefix;
  if (!scene.shell.empty()) command.insert(command.end(), {"sh", "-c", scene.shell, "sh"});
  command.emplace_back(ATHANOR_PROGRAM);
  if (scene.arguments.empty()) {
    command.insert(command.end(), {"train", scene.path("config.yaml")});
  }
  command.insert(command.end(), scene.arguments.begin(), scene.arguments.end());
  command.insert(command.end(), scene.overrides.begin(), scene.overrides.end());
  return command;
}

void expect_lines(const BadInput& c, const ProcessResult& result) {
  std::istringstream lines(result.err);
  int problems = 0;
  bool whole = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("error: ") == std::string::npos) continue;
    ++problems;
    bool has_all = true;
    for (const char* part : {c.place, c.found, c.needed}) {
      has_all = has_all && line.find(part) != std::string::npos;
    }
    whole = whole || has_all;
  }
  EXPECT_EQ(problems, c.problems) << result.err;
  EXPECT_TRUE(whole) << "no line has \"" << c.place << "\", \"" << c.found << "\" and \""
                     << c.needed << "\": " << result.err;
  EXPECT_EQ(result.err.find("error: unexpected: "), std::string::npos) << result.err;
}

void expect_nothing_left(const Scene& scene) {
  if (!fs::is_directory(scene / "out")) return;
  for (const auto& entry : fs::directory_iterator(scene / "out")) {
    const std::string name = entry.path().filename().string();
    EXPECT_NE(std::ranges::find(scene.allowed, name), scene.allowed.end())
        << "left in the output folder: " << name;
  }
}

}  // namespace

Scene::Scene() {
  fs::copy(kGolden, folder / "model", fs::copy_options::recursive);
  fs::rename(folder / "model/data.jsonl", folder / "data.jsonl");
  set("model_name_or_path", path("model"));
  set("dataset", path("data.jsonl"));
  set("cutoff_len", "32");
  set("per_device_train_batch_size", "2");
  set("max_steps", "2");
  set("save_steps", "0");  // tests/faults has checkpoints that fail
  set("threads", "1");
  set("output_dir", path("out"));
}

void Scene::set(const std::string& key, const std::string& value) {
  const auto found = std::ranges::find(keys, key, &std::pair<std::string, std::string>::first);
  if (found != keys.end()) {
    found->second = value;
  } else {
    keys.emplace_back(key, value);
  }
}

void Scene::write(const std::string& name, const std::string& text) const {
  spill(folder / name, text);
}

void Scene::edit_json(const std::string& name, const std::function<void(Json&)>& edit) const {
  Json document = Json::parse(slurp(folder / name));
  edit(document);
  write(name, document.dump());
}

void Scene::edit_header(const std::string& name, const std::function<void(Json&)>& edit) const {
  const std::string file = slurp(folder / name);
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);  // little-endian, as the format
  Json header = Json::parse(file.substr(sizeof length, length));
  edit(header);
  write(name, safetensors(header.dump()) + file.substr(sizeof length + length));
}

void Scene::make_fifo(const std::string& name) const {
  fs::remove_all(folder / name);
  ASSERT_EQ(::mkfifo((folder / name).c_str(), 0600), 0) << name;
}

void Scene::make_folder(const std::string& name) const {
  fs::remove_all(folder / name);
  fs::create_directories(folder / name);
}

void Scene::link(const std::string& name, const fs::path& target) const {
  fs::remove_all(folder / name);
  fs::create_symlink(target, folder / name);
}

std::string Scene::add_tokenizer() const {
  fs::copy(fs::path(ATHANOR_SOURCE_DIR) / "examples/00_pretrain_tiny/model_init", folder / "text");
  return path("text");
}

void Scene::without_privileges() {
  if (::geteuid() != 0) return;
  prefix = {"setpriv", "--bounding-set=-all", "--inh-caps=-all"};
  std::vector<std::string> probe = prefix;
  probe.emplace_back("true");
  try {
    const ProcessResult result = run_process(probe);
    if (result.exit_code != 0) skip = "setpriv cannot drop capabilities: " + result.err;
  } catch (const std::runtime_error& error) {
    skip = error.what();
  }
}

std::ostream& operator<<(std::ostream& out, const BadInput& c) { return out << c.name; }

std::string name_of(const ::testing::TestParamInfo<BadInput>& info) { return info.param.name; }

void check(const BadInput& c) {
  Scene scene;
  c.prepare(scene);
  if (::testing::Test::HasFatalFailure()) return;
  if (!scene.skip.empty()) GTEST_SKIP() << scene.skip;
  if (!fs::exists(fs::symlink_status(scene / "config.yaml"))) {
    scene.write("config.yaml", config_text(scene));
  }
  const ProcessResult result = run_process(command_of(scene), {{}, scene.input});
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, c.exit_code) << result.err;
  expect_lines(c, result);
  expect_nothing_left(scene);
  if (!ATHANOR_TEST_SANITIZED) {
    EXPECT_LE(result.peak_bytes, kMaxPeakBytes);
  }
}

std::string safetensors(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + std::string(data_bytes, '\0');
}

}  // namespace athanor::testing
