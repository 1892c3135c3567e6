// config.yaml and key=value on the command line.
#include "tests/bad_input/scene.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

auto key(const char* name, const char* value) {
  return [name, value](Scene& s) { s.set(name, value); };
}

auto more(std::string text) {
  return [text = std::move(text)](Scene& s) { s.add_text(text); };
}

auto whole(std::string text) {
  return [text = std::move(text)](Scene& s) { s.write("config.yaml", text); };
}

auto override_by(std::string text) {
  return [text = std::move(text)](Scene& s) { s.overrides.push_back(text); };
}

// Nine lists of nine aliases each, nine levels deep: 3.9e8 values when expanded.
std::string alias_bomb() {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int level = 1; level < 9; ++level) {
    const std::string name = "a" + std::to_string(level);
    const std::string below = "*a" + std::to_string(level - 1);
    text += name + ": &" + name + " [" + below;
    for (int i = 1; i < 9; ++i) text += ", " + below;
    text += "]\n";
  }
  return text;
}

const BadInput kFiles[] = {
    {"Missing", 78, "no.yaml", "No such file", "needed a YAML file",
     [](Scene& s) {
       s.arguments = {"train", s.path("no.yaml")};
     }},
    {"IsAFolder", 78, "config.yaml", "not a regular file", "needed a YAML file",
     [](Scene& s) { s.make_folder("config.yaml"); }},
    {"IsAFifo", 78, "config.yaml", "not a regular file", "needed a YAML file",
     [](Scene& s) { s.make_fifo("config.yaml"); }},
    {"Unreadable", 78, "config.yaml", "Permission denied", "needed a YAML file",
     [](Scene& s) {
       s.write("config.yaml", "");
       fs::permissions(s / "config.yaml", fs::perms::none);
       s.without_privileges();
     }},
    {"Endless", 78, "/dev/zero", "not a regular file", "needed a YAML file",
     [](Scene& s) {
       s.arguments = {"train", "/dev/zero"};
     }},
    {"TooLarge", 78, "config.yaml", "more than 1 MiB", "at most 1 MiB",
     more(std::string(1'100'000, '#'))},
    {"Empty", 78, "config.yaml: dataset", "found nothing", "needed a value", whole(""), 3},
    {"OnlyText", 78, "config.yaml", "found \"hello\"", "lines of key: value", whole("hello"), 4},
    {"TwoDocuments", 78, "config.yaml", "more than one YAML document", "needed one",
     whole("a: 1\n---\nb: 2"), 4},
    {"LeadingCommas", 78, "config.yaml", "more than one YAML document", "needed one",
     whole(",,,,dataset: a"), 4},
    {"Tabs", 78, "config.yaml:10", "invalid YAML", "valid YAML", more("zero:\n\tstage: 1\n"), 4},
    {"OpenQuote", 78, "config.yaml", "invalid YAML", "valid YAML", more("seed: \"42\n"), 4},
    {"Nul", 78, "config.yaml:9", "control character \"\\x00\"", "needed text",
     more(std::string("seed: 1\0\nlora_rnk: 4\n", 21))},
    {"EndOfTransmission", 78, "config.yaml:10", "control character \"\\x04\"", "needed text",
     more("seed: 1\n\x04learning_rte: 4\n")},
    {"Utf16", 78, "config.yaml", "control character", "needed text",
     whole(std::string("\xff\xfes\0e\0e\0d\0", 10))},
    {"AliasBomb", 78, "config.yaml", "more than 10000 values", "a plain config", more(alias_bomb()),
     4},
    {"EndlessAlias", 78, "config.yaml", "8 levels", "a plain config",
     more("dataset_dir: &a [*a]\n"), 4},
    {"DeepBlocks", 78, "config.yaml", "", "config",
     more("seed: " + std::string(50'000, '[') + std::string(50'000, ']') + "\n"), 4},
};

ATHANOR_BAD_INPUT(ConfigFile, kFiles);

const BadInput kKeys[] = {
    {"Typo", 78, "config.yaml:9: learning_rte", "an unknown key", "nearest: learning_rate",
     more("learning_rte: 1\n")},
    {"TypoInABlock", 78, "config.yaml:10: zero.stag", "an unknown key", "nearest: zero.stage",
     more("zero:\n  stag: 1\n")},
    {"TypoOnTheCommandLine", 78, "command line: lora_rnk", "an unknown key", "nearest: lora_rank",
     override_by("lora_rnk=4")},
    {"MillionLetters", 78, "config.yaml:9", "an unknown key", "a known one",
     more("? " + std::string(1'000'000, 'k') + "\n: 1\n")},
    {"KeyTwice", 78, "config.yaml:10: seed", "the key twice (also in line 9)", "it once",
     more("seed: 1\nseed: 2\n")},
    {"BlockTwice", 78, "config.yaml:10: zero", "the block twice", "it once",
     more("zero: {stage: 1}\nzero: {stage: 2}\n")},
    {"ListAsAKey", 78, "config.yaml:9", "a list as a key", "a name", more("? [a]\n: 1\n")},
    {"TextForANumber", 78, "config.yaml:5: max_steps", "found \"many\"", "an integer from 1",
     key("max_steps", "many"), 1},
    {"FractionForAnInteger", 78, "config.yaml:9: seed", "found \"1.5\"", "an integer from 0",
     more("seed: 1.5\n")},
    {"NumberTooLarge", 78, "config.yaml:9: seed", "found \"99999999999999999999\"",
     "an integer from 0", more("seed: 99999999999999999999\n")},
    {"RealTooLarge", 78, "config.yaml:9: learning_rate", "found \"1e999\"", "a number from 0",
     more("learning_rate: 1e999\n")},
    {"NotANumber", 78, "config.yaml:9: learning_rate", "found \".nan\"", "a number from 0",
     more("learning_rate: .nan\n")},
    {"NegativeSize", 78, "config.yaml:3: cutoff_len", "found \"-5\"", "an integer from 1",
     key("cutoff_len", "-5")},
    {"ListForANumber", 78, "config.yaml:9: lora_rank", "found a list", "an integer from 1",
     more("lora_rank: [8]\n")},
    {"BlockForAText", 78, "config.yaml:8: output_dir", "found a block", "a text",
     key("output_dir", "{a: b}")},
    {"TextForABlock", 78, "config.yaml:9: zero", "found \"3\"", "a block such as",
     more("zero: 3\n")},
    {"NestedList", 78, "config.yaml:2: dataset", "a list that holds a list", "a comma list",
     key("dataset", "[[a]]")},
    {"WordForABoolean", 78, "config.yaml:9: bf16", "found \"maybe\"", "true or false",
     more("bf16: maybe\n")},
    {"UnknownChoice", 78, "config.yaml:9: optim", "found \"adamv\"", "one of adamw",
     more("optim: adamv\n")},
    {"StageOutOfRange", 78, "command line: zero.stage", "found \"7\"", "from 0 to 3",
     override_by("zero.stage=7")},
    {"SizeWithoutUnit", 78, "config.yaml:9: memory_budget", "found \"12 apples\"", "16GiB",
     more("memory_budget: 12 apples\n")},
    {"OverrideWithoutEquals", 78, "command line", "found \"seed\"", "key=value",
     override_by("seed")},
    {"OverrideIsBrokenYaml", 78, "command line: dataset", "invalid YAML", "valid YAML",
     override_by("dataset=[a")},
    {"RequiredKeyTakenBack", 78, "output_dir", "found nothing", "needed a value",
     override_by("output_dir=null")},
    {"FiveProblemsInOnePass", 78, "config.yaml:11: optim", "found \"adamv\"", "one of adamw",
     [](Scene& s) {
       s.set("max_steps", "many");
       s.add_text("lora_rnk: 4\nseed: -1\noptim: adamv\n");
       s.overrides.emplace_back("zero.stage=7");
     },
     5},
};

ATHANOR_BAD_INPUT(ConfigKeys, kKeys);

const BadInput kConflicts[] = {
    {"WarmupTwice", 78, "config.yaml:10: warmup_ratio", "found 0.5", "either it or warmup_steps 3",
     more("warmup_steps: 3\nwarmup_ratio: 0.5\n")},
    {"MasksContradict", 78, "mask_history", "found true", "train_on_prompt: false",
     more("train_on_prompt: true\nmask_history: true\n")},
    {"BatchIsNoMultiple", 78, "config.yaml:9: global_batch_size", "found 5",
     "a multiple of per_device_train_batch_size 2", more("global_batch_size: 5\n")},
    {"BatchesContradict", 78, "global_batch_size", "found 6", "needed 4",
     more("global_batch_size: 6\ngradient_accumulation_steps: 2\n")},
    {"LanesNoPowerOfTwo", 78, "numerics.lanes", "found 3", "a power of two",
     more("numerics: {lanes: 3}\n")},
    {"FewerLanesThanRanks", 78, "numerics.lanes", "found 1", "each of the 2 ranks",
     more("numerics: {lanes: 1}\nranks: 2\n")},
    {"AdapterOfAFullRun", 78, "adapter_name_or_path", "found", "finetuning_type: lora",
     more("finetuning_type: full\nadapter_name_or_path: x\n")},
    {"OffloadWithoutAPath", 78, "zero.nvme_path", "found nothing", "offload to nvme",
     more("zero: {offload_optimizer: nvme}\n")},
    {"AllAmongModules", 78, "lora_target", "\"all\" in a list", "alone",
     more("lora_target: [all, q_proj]\n")},
    {"TargetMatchesNothing", 78, "lora_target", "\"w_proj\" matches no linear layer", "q_proj",
     more("lora_target: w_proj\n")},
    {"BrokenPattern", 78, "lora_target", "regular expression \"(q_proj\"", "at byte",
     more("lora_target: \"(q_proj\"\n")},
    {"PatternClosesABracket", 78, "lora_target", "regular expression \"a)|(?:b\"", "at byte",
     more("lora_target: \"a)|(?:b\"\n")},
    {"CostlyPattern", 78, "lora_target", "regular expression", "limit exceeded",
     more("lora_target: \"(([a-z0-9._]+)+)+[!?]\"\n")},
    {"EndlessRows", 78, "per_device_train_batch_size x cutoff_len", "found", "at most 16777216",
     key("cutoff_len", "1099511627776")},
    {"ManyRows", 78, "per_device_train_batch_size x cutoff_len", "found 33554432",
     "at most 16777216", key("per_device_train_batch_size", "1048576")},
    {"ManyMicroBatches", 78, "gradient_accumulation_steps", "found 1048576", "at most 65536",
     more("gradient_accumulation_steps: 1048576\n")},
    {"LargeStep", 78, "cutoff_len x rows", "found 8589934592", "at most 67108864",
     [](Scene& s) {
       s.set("cutoff_len", "65536");
       s.add_text("gradient_accumulation_steps: 65536\n");
     }},
    {"PlanOfEndlessRows", 78, "per_device_train_batch_size x cutoff_len", "found",
     "at most 16777216",
     [](Scene& s) {
       s.set("cutoff_len", "1099511627776");
       s.arguments = {"plan", s.path("config.yaml")};
     }},
    {"HugeRank", 71, "on this host", "the run needs", "the budget is",
     more("lora_rank: 1048576\nmemory_budget: 100MiB\n")},
    {"DoesNotFit", 71, "on this host", "the run needs", "cheapest changes",
     more("memory_budget: 1MiB\n")},
    {"UnknownTemplate", 78, "template", "nonesuch", "chatml",
     [](Scene& s) {
       s.set("model_name_or_path", s.add_tokenizer());
       s.add_text("train_from_scratch: true\ntemplate: nonesuch\n");
     }},
};

ATHANOR_BAD_INPUT(ConfigConflicts, kConflicts);

}  // namespace
}  // namespace athanor::testing
