// athanor: parses the command line, installs the signals and runs a verb. Errors become one line
// and their exit code here and nowhere else.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "launcher/rank_discovery.h"
#include "launcher/stop_signals.h"
#include "launcher/verbs.h"

namespace {

std::atomic<int> stop_requests{0};

// First signal: finish the step, save, exit 75. A second interrupt: out at once.
extern "C" void on_signal(int signal) {
  if (stop_requests.fetch_add(1) > 0 && signal == SIGINT) {
    _exit(athanor::exit_code(athanor::ErrorKind::kInterrupted));
  }
}

void install_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : athanor::kStopSignals) {
    if (signal != SIGHUP || !athanor::ignored(SIGHUP)) sigaction(signal, &action, nullptr);
  }
  // `athanor launch` starts its ranks with all it waits for blocked.
  sigset_t awaited = athanor::stop_signal_set();
  sigaddset(&awaited, SIGCHLD);
  sigprocmask(SIG_UNBLOCK, &awaited, nullptr);
  // A file that may not grow is an error of the write (EFBIG), not a death.
  std::signal(SIGXFSZ, SIG_IGN);
}

// A program that was started without one of them would get their numbers for its next files. What
// stands in their place fails at reads and writes as a closed one does.
void occupy_standard_descriptors() {
  for (const int expected : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const int flags = expected == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (::fcntl(expected, F_GETFD) < 0) ::open("/dev/null", flags);  // the lowest number is free
  }
}

// Output that was lost is a failure, however well the rest went.
void check_standard_output() {
  errno = 0;
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0 && std::cout.good()) return;
  // An earlier write may have failed; its errno is gone.
  const std::string reason = errno != 0 ? std::generic_category().message(errno) : "a write failed";
  throw athanor::Error(athanor::ErrorKind::kIo, "standard output: cannot write: " + reason);
}

// One line for each problem.
void log_error_lines(const std::string& message) {
  std::istringstream lines(message);
  for (std::string line; std::getline(lines, line);) athanor::log_error(line);
}

// The text of the library without its line breaks.
athanor::Error usage_error(const CLI::App& app, const CLI::ParseError& error) {
  std::string message = error.what();
  // An unknown verb is reported as a missing one.
  const std::vector<std::string> rest = app.remaining();
  if (!rest.empty() && message.find(rest.front()) == std::string::npos) {
    message += ", found " + rest.front();
  }
  for (char& character : message) {
    if (character == '\n') character = ' ';
  }
  return {athanor::ErrorKind::kUsage, "command line: " + message + " (see athanor --help)"};
}

void add_config_arguments(CLI::App* verb, athanor::ConfigArguments& arguments) {
  verb->add_option("CONFIG", arguments.config, "YAML file")->required();
  verb->add_option("OVERRIDES", arguments.overrides, "key=value, dotted for blocks");
}

CLI::App* add_render(CLI::App& app, athanor::RenderArguments& render) {
  CLI::App* verb =
      app.add_subcommand("render", "messages (JSON on standard input) through a chat template");
  verb->add_option("MODEL", render.model, "model folder");
  verb->add_option("--template", render.template_file, "a Jinja file instead of a model's");
  verb->add_flag("--generation-prompt", render.generation_prompt, "open the assistant's turn");
  verb->add_option("--bos", render.bos, "bos_token");
  verb->add_option("--eos", render.eos, "eos_token");
  verb->add_option("--tools", render.tools, "JSON file with the tools");
  verb->add_option("--date", render.date, "YYYY-MM-DD instead of today, for strftime_now");
  return verb;
}

struct CheckpointVerbs {
  CLI::App* list;
  CLI::App* verify;
  CLI::App* prune;
};

CheckpointVerbs add_checkpoint_verbs(CLI::App& app, athanor::CheckpointArguments& arguments) {
  CLI::App* verb = app.add_subcommand("ckpt", "the checkpoints of an output folder");
  verb->require_subcommand(1);
  const CheckpointVerbs verbs = {
      verb->add_subcommand("ls", "list them, newest first"),
      verb->add_subcommand("verify", "read all of them, or one; exit 65 when one is not whole"),
      verb->add_subcommand("prune", "remove all but the newest")};
  for (CLI::App* sub : {verbs.list, verbs.verify, verbs.prune}) {
    sub->add_option("FOLDER", arguments.folder, "output folder")->required();
  }
  verbs.prune->add_option("--keep", arguments.keep, "how many stay")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  verbs.prune->add_flag("--dry-run", arguments.dry_run, "only say what would go");
  return verbs;
}

// CPUs older than this cannot run the program at all; say so instead of dying on an instruction.
bool cpu_is_supported() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
#else
  return true;
#endif
}

int dispatch(int argc, char** argv) {
  CLI::App app{"Athanor: fine-tuning runtime for language models"};
  app.require_subcommand(1);

  athanor::TrainArguments train;
  CLI::App* train_verb =
      app.add_subcommand("train", "train as CONFIG says; under mpirun: one rank");
  add_config_arguments(train_verb, train);
  train_verb->add_flag("--force", train.force, "start although the plan exceeds the memory budget");
  train_verb->add_option("--profile", train.profile,
                         "write what rank 0 ran as a Chrome trace and print a table of operations");

  athanor::LaunchArguments launch;
  CLI::App* launch_verb =
      app.add_subcommand("launch", "train with several ranks, each a process started here");
  add_config_arguments(launch_verb, launch);
  launch_verb->add_option("-n", launch.ranks, "number of ranks")
      ->required()
      ->check(CLI::Range(1, 1024));
  launch_verb->add_option("--hostfile", launch.hostfile, "hosts, as mpirun reads them");
  launch_verb->add_flag("--force", launch.force, "as of train");
  launch_verb->add_option("--profile", launch.profile, "as of train");

  athanor::CheckpointArguments checkpoint;
  const CheckpointVerbs checkpoint_verbs = add_checkpoint_verbs(app, checkpoint);

  athanor::PlanArguments plan;
  CLI::App* plan_verb =
      app.add_subcommand("plan", "memory, communication and floor time of a step");
  add_config_arguments(plan_verb, plan);
  plan_verb->add_option("--world", plan.world, "number of ranks")->check(CLI::Range(1, 1 << 20));
  plan_verb->add_option("--machine", plan.machine,
                        "here, gb10x2, h100x8, rtx4090x2 or a profile file");
  plan_verb->add_flag("--json", plan.json);
  plan_verb->add_flag("--all-ranks", plan.all_ranks);
  plan_verb->add_option("--timeline", plan.timeline,
                        "write the planned step as a Chrome trace to this file");
  plan_verb->add_flag("--compare", plan.compare,
                      "a table of stages, offloads, schedules and recomputation");

  athanor::GenerateArguments generate;
  CLI::App* generate_verb = app.add_subcommand("generate", "continue a prompt");
  generate_verb->add_option("MODEL", generate.model, "model folder")->required();
  generate_verb->add_option("--adapter", generate.adapter, "PEFT adapter folder");
  generate_verb->add_option("--prompt", generate.prompt);
  generate_verb->add_option("--max-new-tokens", generate.max_new_tokens)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  generate_verb->add_option("--temperature", generate.temperature, "0: greedy")
      ->check(CLI::NonNegativeNumber);
  generate_verb->add_option("--top-p", generate.top_p)->check(CLI::Range(0.0, 1.0));
  generate_verb->add_option("--seed", generate.seed);
  generate_verb->add_option("--threads", generate.threads)->check(CLI::Range(0, 4096));
  generate_verb->add_flag("--chat", generate.chat, "the prompt is a user's message");
  generate_verb->add_option("--template", generate.chat_template,
                            "with --chat: a chat template by name instead of the model's own");
  generate_verb->add_flag("--bf16", generate.bf16, "weights and activations in bfloat16");
  generate_verb->add_option("--logits-of", generate.logits_of,
                            "JSON list of token ids: write their logits and stop");
  generate_verb->add_option("--logits-file", generate.logits_file,
                            "where: safetensors with one tensor `logits` [tokens, vocab] f32");

  athanor::TokenizeArguments tokenize;
  CLI::App* tokenize_verb = app.add_subcommand("tokenize", "text on standard input to ids");
  tokenize_verb->add_option("MODEL", tokenize.model, "model folder or tokenizer.json")->required();
  tokenize_verb->add_flag("--lines", tokenize.lines, "one list a line");
  tokenize_verb->add_flag("--decode", tokenize.decode, "JSON lists of ids to text");
  tokenize_verb->add_flag("--special", tokenize.special, "with BOS and the like");

  athanor::DataArguments data;
  CLI::App* data_verb =
      app.add_subcommand("data", "what CONFIG would train on: counts and samples");
  add_config_arguments(data_verb, data);
  data_verb->add_flag("--json", data.json);
  data_verb->add_option("--samples", data.samples, "how many are shown")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));

  athanor::RenderArguments render;
  CLI::App* render_verb = add_render(app, render);

  athanor::EvalArguments eval;
  CLI::App* eval_verb = app.add_subcommand("eval", "loss and perplexity of what a run has left");
  add_config_arguments(eval_verb, eval);
  eval_verb->add_flag("--base", eval.base, "the model that the run started from");
  eval_verb->add_flag("--json", eval.json);

  athanor::InitArguments init;
  CLI::App* init_verb = app.add_subcommand("init", "print a commented config.yaml for a model");
  init_verb->add_option("MODEL", init.model, "model folder")->required();

  athanor::DoctorArguments doctor;
  CLI::App* doctor_verb =
      app.add_subcommand("doctor", "what this machine has, how fast it is, what is missing");
  doctor_verb->add_option("--disk", doctor.disk, "folder whose disk is measured (.)");
  doctor_verb->add_flag("--json", doctor.json);

  CLI::App* version_verb = app.add_subcommand("version", "the version of this program");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw usage_error(app, error);
    return app.exit(error);  // --help
  }
  athanor::apply_cpu_isa_cap();
  if (train_verb->parsed()) return athanor::run_train(train, stop_requests);
  if (launch_verb->parsed()) return athanor::run_launch(launch);
  if (checkpoint_verbs.list->parsed()) return athanor::list_checkpoints_verb(checkpoint);
  if (checkpoint_verbs.verify->parsed()) return athanor::verify_checkpoints_verb(checkpoint);
  if (checkpoint_verbs.prune->parsed()) return athanor::prune_checkpoints_verb(checkpoint);
  if (plan_verb->parsed()) return athanor::run_plan(plan);
  if (generate_verb->parsed()) return athanor::run_generate(generate);
  if (tokenize_verb->parsed()) return athanor::run_tokenize(tokenize);
  if (data_verb->parsed()) return athanor::run_data(data);
  if (render_verb->parsed()) return athanor::run_render(render);
  if (eval_verb->parsed()) return athanor::run_eval(eval);
  if (init_verb->parsed()) return athanor::run_init(init);
  if (doctor_verb->parsed()) return athanor::run_doctor(doctor);
  if (version_verb->parsed()) std::cout << "athanor " << athanor::program_version() << "\n";
  return 0;
}

// How long a rank other than 0 leaves it to rank 0 to say what all ranks find at the same point:
// errors of the configuration, a plan that does not fit (rank 0 looks for the cheapest changes
// first), numbers that diverged. mpirun ends the others then. A rank that is still there has found
// what rank 0 has not, such as a folder that is missing on its host.
std::chrono::seconds patience_with(athanor::ErrorKind kind) {
  switch (kind) {
    case athanor::ErrorKind::kConfig:
    case athanor::ErrorKind::kDiverged:
      return std::chrono::seconds(2);
    case athanor::ErrorKind::kDoesNotFit:
      return std::chrono::seconds(20);
    default:
      return std::chrono::seconds(0);
  }
}

// Launched ranks have logs of their own.
bool speaks_for_itself(athanor::ErrorKind kind) {
  if (athanor::log_rank() == 0 || athanor::started_by_launch()) return true;
  const auto end = std::chrono::steady_clock::now() + patience_with(kind);
  while (std::chrono::steady_clock::now() < end) {
    if (stop_requests.load() != 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (!cpu_is_supported()) {
    std::fputs("athanor: this CPU lacks AVX2 and FMA, which the program needs\n", stderr);
    return athanor::exit_code(athanor::ErrorKind::kInternal);
  }
  occupy_standard_descriptors();
  install_signals();
  try {
    const int code = dispatch(argc, argv);
    check_standard_output();
    return code;
  } catch (const athanor::Error& error) {
    if (speaks_for_itself(error.kind())) log_error_lines(error.message());
    return athanor::exit_code(error.kind());
  } catch (const std::filesystem::filesystem_error& error) {
    athanor::log_error(error.what());
    return athanor::exit_code(athanor::ErrorKind::kIo);
  } catch (const std::exception& error) {
    athanor::log_error(std::string("unexpected: ") + error.what());
    return athanor::exit_code(athanor::ErrorKind::kInternal);
  }
}
