// Where results go: folders in the way, disks that are full, streams that are closed.
#include <algorithm>

#include "tests/bad_input/scene.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

auto arguments(std::vector<std::string> words) {
  return [words = std::move(words)](Scene& s) {
    s.arguments = words;
    for (std::string& word : s.arguments) {
      if (word == "CONFIG") word = s.path("config.yaml");
      if (word == "TEXT") word = s.add_tokenizer();
    }
  };
}

auto to_full_device(std::vector<std::string> words) {
  return [words = std::move(words)](Scene& s) {
    arguments(words)(s);
    s.input = "hello";
    s.through_shell("exec \"$@\" > /dev/full");
  };
}

const BadInput kCases[] = {
    {"FolderIsNotEmpty", 78, "output_dir", "out is not empty", "overwrite_output_dir: true",
     [](Scene& s) {
       s.write("out/old", "");
       s.allowed = {"old"};
     }},
    {"IsAFile", 78, "output_dir", "out is not", "a folder",
     [](Scene& s) { s.write("out", "in the way"); }},
    {"IsAFifo", 78, "output_dir", "out is not", "a folder", [](Scene& s) { s.make_fifo("out"); }},
    {"ParentIsAFile", 74, "output_dir", "cannot create", "Not a directory",
     [](Scene& s) { s.set("output_dir", s.path("data.jsonl") + "/out"); }},
    {"ParentIsReadOnly", 74, "output_dir", "cannot create", "Permission denied",
     [](Scene& s) {
       s.make_folder("locked");
       s.set("output_dir", s.path("locked/out"));
       fs::permissions(s / "locked", fs::perms::owner_read | fs::perms::owner_exec);
       s.without_privileges();
     }},
    {"FolderIsReadOnly", 74, "out/", "cannot", "Permission denied",
     [](Scene& s) {
       s.make_folder("out");
       fs::permissions(s / "out", fs::perms::owner_read | fs::perms::owner_exec);
       s.without_privileges();
     }},
    {"NameIsTooLong", 74, "output_dir", "", "File name too long",
     [](Scene& s) { s.set("output_dir", s.path(std::string(300, 'x'))); }},
    // 512-byte blocks: the small files fit, the weights do not.
    {"FilesMayNotGrow", 74, "adapter_model.safetensors", "cannot write", "File too large",
     [](Scene& s) {
       s.through_shell("ulimit -f 8; exec \"$@\"");
       s.allowed = {".athanor.lock", "runs", "trainer_log.jsonl", "training_args.yaml"};
     }},
    {"FilesMayNotGrowOnTwoRanks", 74, "adapter_model.safetensors", "cannot write", "File too large",
     [](Scene& s) {
       s.set("ranks", "2");
       s.through_shell("ulimit -f 8; exec \"$@\"");
       s.allowed = {".athanor.lock", "runs", "trainer_log.jsonl", "training_args.yaml"};
     }},
    {"VersionToAFullDevice", 74, "standard output", "cannot write", "No space left",
     to_full_device({"version"})},
    {"HelpToAFullDevice", 74, "standard output", "cannot write", "No space left",
     to_full_device({"--help"})},
    {"PlanToAFullDevice", 74, "standard output", "cannot write", "No space left",
     to_full_device({"plan", "CONFIG"})},
    {"TokensToAFullDevice", 74, "standard output", "cannot write", "No space left",
     to_full_device({"tokenize", "TEXT"})},
    {"LogitsIntoAMissingFolder", 74, "/nowhere/logits", "cannot create", "No such file",
     [](Scene& s) {
       s.arguments = {"generate", s.path("model"), "--logits-of",
                      "[1]",      "--logits-file", "/nowhere/logits"};
     }},
};

ATHANOR_BAD_INPUT(Output, kCases);

// A small tmpfs in a mount namespace of its own, which ends with the run.
TEST(FullDisk, LeavesNothingUnderAFinalName) {
  Scene scene;
  scene.make_folder("disk");
  scene.set("output_dir", scene.path("disk/out"));
  std::string config;
  for (const auto& [key, value] : scene.keys) config += key + ": " + value + "\n";
  scene.write("config.yaml", config);
  const std::string mount = "mount -t tmpfs -o size=32k tmpfs '" + scene.path("disk") + "'";
  const ProcessResult probe = run_process({"unshare", "--mount", "sh", "-c", mount});
  if (probe.exit_code != 0) GTEST_SKIP() << "no tmpfs can be mounted: " << probe.err;
  const std::string run =
      mount + " && { \"$@\"; code=$?; ls -A '" + scene.path("disk/out") + "'; exit $code; }";
  const ProcessResult result = run_process({"unshare", "--mount", "sh", "-c", run, "sh",
                                            ATHANOR_PROGRAM, "train", scene.path("config.yaml")});
  EXPECT_EQ(result.exit_code, 74) << result.err;
  EXPECT_NE(result.err.find("disk/out/adapter_model.safetensors: cannot write: No space left"),
            std::string::npos)
      << result.err;
  EXPECT_EQ(result.out, ".athanor.lock\nruns\ntrainer_log.jsonl\ntraining_args.yaml\n");
}

}  // namespace
}  // namespace athanor::testing
