// The command line: one function for each verb, which binds its options to its arguments.
#include "launcher/command_line.h"

#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "launcher/rank_discovery.h"
#include "launcher/verbs.h"

namespace athanor {
namespace {

struct Verb {
  CLI::App* app;
  std::function<int()> run;
};

class CommandLine {
 public:
  explicit CommandLine(std::atomic<int>& stop) : stop_(stop) {
    app_.require_subcommand(1);
    add_train();
    add_launch();
    add_status();
    add_checkpoints();
    add_plan();
    add_data();
    add_eval();
    add_generate();
    add_chat();
    add_export();
    add_tokenize();
    add_render();
    add_init();
    add_doctor();
    add("version", "the version of this program", [] {
      std::cout << "athanor " << program_version() << "\n";
      return 0;
    });
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() != 0) throw usage_error(error);
      return app_.exit(error);  // --help
    }
    apply_cpu_isa_cap();
    for (const Verb& verb : verbs_) {
      if (verb.app->parsed()) return verb.run();
    }
    return 0;
  }

 private:
  CLI::App* add(const char* name, const char* help, std::function<int()> run) {
    CLI::App* const verb = app_.add_subcommand(name, help);
    verbs_.push_back({verb, std::move(run)});
    return verb;
  }
  // With arguments that live as long as the command line.
  template <class Arguments>
  std::pair<CLI::App*, Arguments&> add(const char* name, const char* help,
                                       int (*run)(const Arguments&)) {
    const auto arguments = std::make_shared<Arguments>();
    return {add(name, help, [=] { return run(*arguments); }), *arguments};
  }

  static void add_config_arguments(CLI::App* verb, ConfigArguments& arguments) {
    verb->add_option("CONFIG", arguments.config, "YAML file")->required();
    verb->add_option("OVERRIDES", arguments.overrides, "key=value, dotted for blocks");
  }

  void add_train() {
    const auto train_arguments = std::make_shared<TrainArguments>();
    TrainArguments& train = *train_arguments;
    CLI::App* const train_verb = add("train", "train as CONFIG says; under mpirun: one rank",
                                     [=, this] { return run_train(*train_arguments, stop_); });
    add_config_arguments(train_verb, train);
    train_verb->add_flag("--force", train.force,
                         "start although the plan exceeds the memory budget");
    train_verb->add_option(
        "--profile", train.profile,
        "write what rank 0 ran as a Chrome trace and print a table of operations");
  }

  void add_launch() {
    auto [verb, launch] = add<LaunchArguments>(
        "launch", "train with several ranks, each a process started here", run_launch);
    add_config_arguments(verb, launch);
    verb->add_option("-n", launch.ranks, "number of ranks")->required()->check(CLI::Range(1, 1024));
    verb->add_option("--hostfile", launch.hostfile, "hosts, as mpirun reads them");
    verb->add_option("--min-ranks", launch.min_ranks,
                     "restarts may go on with fewer ranks, down to this")
        ->check(CLI::Range(1, 1024));
    verb->add_option("--hang-timeout", launch.hang_timeout,
                     "least seconds without progress that are a hang (60); 0: never")
        ->check(CLI::Range(0.0, 1e6));
    verb->add_flag("--force", launch.force, "as of train");
    verb->add_option("--profile", launch.profile, "as of train");
  }

  void add_status() {
    auto [verb, status] = add<StatusArguments>(
        "status", "what the ranks of a run are doing that launch has started", run_status);
    verb->add_option("RUN", status.folder, "output folder")->required();
    verb->add_flag("--save", status.save, "write a checkpoint at the end of the step");
    CLI::Option_group* const one = verb->add_option_group("ask");
    one->add_flag("--stop", status.stop, "finish the step, save and end");
    one->add_flag("--pause", status.pause, "wait at the end of the step");
    one->add_flag("--resume", status.resume, "go on after a pause");
    one->require_option(0, 1);
  }

  void add_checkpoints() {
    const auto shared = std::make_shared<CheckpointArguments>();
    CLI::App* const verb = app_.add_subcommand("ckpt", "the checkpoints of an output folder");
    verb->require_subcommand(1);
    const auto sub = [&](const char* name, const char* help,
                         int (*run)(const CheckpointArguments&)) {
      CLI::App* const app = verb->add_subcommand(name, help);
      app->add_option("FOLDER", shared->folder, "output folder")->required();
      verbs_.push_back({app, [=] { return run(*shared); }});
      return app;
    };
    sub("ls", "list them, newest first", list_checkpoints_verb);
    sub("verify", "read all of them, or one; exit 65 when one is not whole",
        verify_checkpoints_verb);
    CLI::App* const prune = sub("prune", "remove all but the newest", prune_checkpoints_verb);
    prune->add_option("--keep", shared->keep, "how many stay")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
    prune->add_flag("--dry-run", shared->dry_run, "only say what would go");
  }

  void add_plan() {
    auto [verb, plan] =
        add<PlanArguments>("plan", "memory, communication and floor time of a step", run_plan);
    add_config_arguments(verb, plan);
    verb->add_option("--world", plan.world, "number of ranks")->check(CLI::Range(1, 1 << 20));
    verb->add_option("--machine", plan.machine,
                     "here, gb10x2, h100x8, rtx4090x2 or a profile file");
    verb->add_flag("--json", plan.json);
    verb->add_flag("--all-ranks", plan.all_ranks);
    verb->add_option("--timeline", plan.timeline,
                     "write the planned step as a Chrome trace to this file");
    verb->add_flag("--compare", plan.compare,
                   "a table of stages, offloads, schedules and recomputation");
  }

  void add_data() {
    auto [verb, data] =
        add<DataArguments>("data", "what CONFIG would train on: counts and samples", run_data);
    add_config_arguments(verb, data);
    verb->add_flag("--json", data.json);
    verb->add_option("--samples", data.samples, "how many are shown")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  }

  void add_eval() {
    auto [verb, eval] =
        add<EvalArguments>("eval", "loss and perplexity of what a run has left", run_eval);
    add_config_arguments(verb, eval);
    verb->add_flag("--base", eval.base, "the model that the run started from");
    verb->add_flag("--json", eval.json);
  }

  template <class Arguments>
  static void add_sampling(CLI::App* verb, Arguments& arguments) {
    verb->add_option("--max-new-tokens", arguments.max_new_tokens)
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
    verb->add_option("--temperature", arguments.temperature, "0: greedy")
        ->check(CLI::NonNegativeNumber);
    verb->add_option("--top-p", arguments.top_p)->check(CLI::Range(0.0, 1.0));
    verb->add_option("--seed", arguments.seed);
    verb->add_option("--threads", arguments.threads)->check(CLI::Range(0, 4096));
    verb->add_flag("--bf16", arguments.bf16, "weights and activations in bfloat16");
  }

  void add_chat() {
    const auto arguments = std::make_shared<ChatArguments>();
    CLI::App* const verb = add("chat", "talk to a model, with or without an adapter",
                               [=, this] { return run_chat(*arguments, stop_); });
    verb->add_option("MODEL", arguments->model, "model folder")->required();
    verb->add_option("--adapter", arguments->adapter, "PEFT adapter folder");
    verb->add_option("--template", arguments->chat_template,
                     "a chat template by name instead of the model's own");
    verb->add_option("--system", arguments->system, "a system message");
    add_sampling(verb, *arguments);
  }

  void add_generate() {
    auto [verb, generate] = add<GenerateArguments>("generate", "continue a prompt", run_generate);
    verb->add_option("MODEL", generate.model, "model folder")->required();
    verb->add_option("--adapter", generate.adapter, "PEFT adapter folder");
    verb->add_option("--prompt", generate.prompt);
    add_sampling(verb, generate);
    verb->add_flag("--chat", generate.chat, "the prompt is a user's message");
    verb->add_option("--template", generate.chat_template,
                     "with --chat: a chat template by name instead of the model's own");
    verb->add_option("--logits-of", generate.logits_of,
                     "JSON list of token ids: write their logits and stop");
    verb->add_option("--logits-file", generate.logits_file,
                     "where: safetensors with one tensor `logits` [tokens, vocab] f32");
  }

  void add_export() {
    auto [verb, merge] =
        add<ExportArguments>("export", "merge an adapter into its model", run_export);
    verb->add_option("MODEL", merge.model, "model folder")->required();
    verb->add_option("--adapter", merge.adapter, "PEFT adapter folder")->required();
    verb->add_option("--output", merge.output, "folder of the new model")->required();
    verb->add_option("--dtype", merge.dtype, "float32 or bfloat16; as stored unless given");
    verb->add_flag("--overwrite", merge.overwrite, "into a folder that is not empty");
    verb->add_flag("!--no-probe", merge.probe, "do not compare logits on a probe");
    verb->add_option("--threads", merge.threads)->check(CLI::Range(0, 4096));
  }

  void add_tokenize() {
    auto [verb, tokenize] =
        add<TokenizeArguments>("tokenize", "text on standard input to ids", run_tokenize);
    verb->add_option("MODEL", tokenize.model, "model folder or tokenizer.json")->required();
    verb->add_flag("--lines", tokenize.lines, "one list a line");
    verb->add_flag("--decode", tokenize.decode, "JSON lists of ids to text");
    verb->add_flag("--special", tokenize.special, "with BOS and the like");
  }

  void add_render() {
    auto [verb, render] = add<RenderArguments>(
        "render", "messages (JSON on standard input) through a chat template", run_render);
    verb->add_option("MODEL", render.model, "model folder");
    verb->add_option("--template", render.template_file, "a Jinja file instead of a model's");
    verb->add_flag("--generation-prompt", render.generation_prompt, "open the assistant's turn");
    verb->add_option("--bos", render.bos, "bos_token");
    verb->add_option("--eos", render.eos, "eos_token");
    verb->add_option("--tools", render.tools, "JSON file with the tools");
    verb->add_option("--date", render.date, "YYYY-MM-DD instead of today, for strftime_now");
  }

  void add_init() {
    auto [verb, init] =
        add<InitArguments>("init", "print a commented config.yaml for a model", run_init);
    verb->add_option("MODEL", init.model, "model folder")->required();
  }

  void add_doctor() {
    auto [verb, doctor] = add<DoctorArguments>(
        "doctor", "what this machine has, how fast it is, what is missing", run_doctor);
    verb->add_option("--disk", doctor.disk, "folder whose disk is measured (.)");
    verb->add_flag("--json", doctor.json);
  }

  // The text of the library without its line breaks.
  Error usage_error(const CLI::ParseError& error) const {
    std::string message = error.what();
    // An unknown verb is reported as a missing one.
    const std::vector<std::string> rest = app_.remaining();
    if (!rest.empty() && message.find(rest.front()) == std::string::npos) {
      message += ", found " + rest.front();
    }
    for (char& character : message) {
      if (character == '\n') character = ' ';
    }
    return {ErrorKind::kUsage, "command line: " + message + " (see athanor --help)"};
  }

  std::atomic<int>& stop_;
  CLI::App app_{"Athanor: fine-tuning runtime for language models"};
  std::vector<Verb> verbs_;
};

}  // namespace

int run_command_line(int argc, char** argv, std::atomic<int>& stop) {
  return CommandLine(stop).run(argc, argv);
}

}  // namespace athanor
