// Athanor against transformers + PEFT + torch (tests/golden): logits, first gradients, and twenty
// steps of LoRA and of full fine-tuning.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "runtime/io/peft.h"
#include "runtime/optim/lr_schedule.h"
#include "runtime/train/generate.h"
#include "runtime/train/trainer.h"
#include "tests/sharding/thread_ranks.h"
#include "tests/train/golden.h"

namespace athanor::testing {
namespace {

// The goldens are a float64 run. Torch's own float32 is up to 2.4e-6 (logits), 2e-6 (gradients),
// 4e-7 (losses and norms over 20 steps) and 1e-7 (adapter weights) away from it, and so is Athanor
// as measured (2.4e-6, 1.2e-6, 2.8e-7, 1.1e-7): the limits leave room for another order of sums,
// not for another formula. What was promised is looser: 1e-5 for losses, 1e-4 for gradients.
constexpr double kLogits = 1e-5;           // absolute, logits are of order 1
constexpr double kGradient = 1e-5;         // ||delta|| / ||g||
constexpr double kScalar = 2e-6;           // losses and norms, relative
constexpr double kAdapterWeights = 1e-6;   // absolute
constexpr double kFullWeightNorms = 2e-6;  // relative

struct Case {
  const char* model;
  const char* kind;
};

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.model) + "_" + info.param.kind;
}

// As an adapter's file has it.
std::string golden_name(const std::string& kind, const std::string& param) {
  return kind == "full" || parse_peft_tensor_name(param) ? param : peft_saved_name(param);
}

class Parity : public ::testing::TestWithParam<Case> {
 protected:
  Parity() : golden(GetParam().model), kind(GetParam().kind), run(resolve_run(config(), 1)) {}

  RunConfig config() const { return golden.config(GetParam().kind); }

  // A trainer on one rank with the golden's weights, for the length of a call.
  template <class Body>
  void with_trainer(const Body& body) {
    run_ranks(1, [&](TestRank& rank) {
      Trainer trainer(run.spec, run.trainer, rank.context());
      RunWeights weights(run);
      trainer.load(&weights.source());
      body(trainer);
    });
  }

  Golden golden;
  std::string kind;
  ResolvedRun run;
};

TEST_P(Parity, GradientsOfTheFirstStep) {
  with_trainer([&](Trainer& trainer) {
    trainer.train_step(golden.step_batch(0, trainer.lane_plan(2), 0), 0, 0.0);
    int compared = 0;
    for (size_t u = 0; u < run.spec.units.size(); ++u) {
      const int unit = static_cast<int>(u);
      if (trainer.partition().unit(unit).trainable_elements == 0) continue;
      const Tensor gradient = trainer.grads().owned_grad(unit);
      for (size_t p = 0; p < run.spec.units[u].params.size(); ++p) {
        const ParamSpec& param = run.spec.units[u].params[p];
        if (!param.trainable) continue;
        const std::vector<float> want =
            golden.tensor(kind + ".grad." + golden_name(kind, param.name));
        const int64_t offset = trainer.partition().unit(unit).params[p].offset;
        ASSERT_EQ(static_cast<int64_t>(want.size()), param.shape.numel()) << param.name;
        EXPECT_LE(relative_distance(gradient.data<float>() + offset, want), kGradient)
            << param.name;
        ++compared;
      }
    }
    EXPECT_GE(compared, 10);
  });
}

TEST_P(Parity, LossesNormsAndRatesOfTwentySteps) {
  const nlohmann::json& want = golden.expected.at(kind);
  const bool linear = run.config.lr_scheduler_type == LrSchedulerOption::kLinear;
  const LrOptions rates{linear ? LrSchedule::kLinear : LrSchedule::kConstant,
                        run.config.learning_rate, *run.config.warmup_steps, 20};
  with_trainer([&](Trainer& trainer) {
    for (size_t step = 0; step < 20; ++step) {
      const auto index = static_cast<int64_t>(step);
      const double rate = learning_rate_at(rates, index);
      EXPECT_DOUBLE_EQ(rate, want.at("lrs").at(step).get<double>()) << "step " << step;
      const StepBatch batch = golden.step_batch(step, trainer.lane_plan(2), 0);
      EXPECT_EQ(batch.target_tokens, want.at("num_target_tokens").at(step).get<int64_t>());
      const StepResult result = trainer.train_step(batch, index, rate);
      const double loss = want.at("losses64").at(step);
      const double norm = want.at("grad_norms64").at(step);
      EXPECT_NEAR(result.loss / loss, 1.0, kScalar) << "step " << step;
      EXPECT_NEAR(result.grad_norm / norm, 1.0, kScalar) << "step " << step;
    }
    CollectedWeights trained;
    trainer.export_trained(&trained);
    if (kind == "lora") {
      for (const auto& [name, values] : trained.weights) {
        EXPECT_LE(
            largest_distance(values.data(), golden.tensor("lora.final." + golden_name(kind, name))),
            kAdapterWeights)
            << name;
      }
    } else {
      for (const auto& [name, norm] : want.at("final_norms64").items()) {
        double squares = 0;
        for (const float value : trained.weights.at(name)) {
          squares += static_cast<double>(value) * static_cast<double>(value);
        }
        EXPECT_NEAR(std::sqrt(squares) / norm.get<double>(), 1.0, kFullWeightNorms) << name;
      }
    }
  });
}

// The same files through the inference path: prompt pass, no batch, prepared weights.
TEST_P(Parity, LogitsOfBaseAndAdapter) {
  GenerateOptions options;
  options.model = golden.model;
  if (kind == "lora") options.adapter = golden.folder / "adapter";
  Generator generator(options, 64);
  for (const int sample : {0, 1}) {
    const std::string key =
        std::string("logits.") + (kind == "lora" ? "adapter." : "base.") + std::to_string(sample);
    const std::vector<float> want = golden.tensor(key);
    const std::vector<float> got =
        generator.logits(golden.samples[static_cast<size_t>(sample)].input_ids);
    ASSERT_EQ(got.size(), want.size());
    EXPECT_LE(largest_distance(got.data(), want), kLogits) << key;
  }
}

// A prompt that goes on from the last text, one that parts from it, and the same one again.
TEST_P(Parity, GenerationFromAKeptPrefixIsTheSame) {
  GenerateOptions options;
  options.model = golden.model;
  if (kind == "lora") options.adapter = golden.folder / "adapter";
  options.max_new_tokens = 6;
  Generator kept(options, 64);
  const auto answer = [](Generator& generator, const std::vector<int32_t>& prompt) {
    std::vector<int32_t> ids;
    generator.generate(prompt, [&](int32_t id) {
      ids.push_back(id);
      return true;
    });
    return ids;
  };
  const std::vector<int32_t> first = {3, 1, 4, 1, 5};
  std::vector<int32_t> longer = first;
  for (const int32_t id : answer(kept, first)) longer.push_back(id);
  longer.push_back(2);
  const std::vector<int32_t> parts = {3, 1, 4, 2, 7, 1, 8};
  for (const auto& prompt : {longer, parts, parts, first}) {
    Generator fresh(options, 64);
    EXPECT_EQ(answer(kept, prompt), answer(fresh, prompt));
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, Parity,
                         ::testing::Values(Case{"llama_tied", "lora"}, Case{"llama_tied", "full"},
                                           Case{"llama_untied", "lora"},
                                           Case{"llama_untied", "full"}),
                         case_name);

constexpr const char* kFamilies[] = {
    "qwen2",           "qwen3",  "mistral",     "llama_rope_llama3",
    "llama_rope_yarn", "gemma2", "gemma3_text", "phi3"};

std::vector<Case> family_cases() {
  std::vector<Case> cases;
  for (const char* model : kFamilies) {
    for (const char* kind : {"lora", "full"}) cases.push_back({model, kind});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Families, Parity, ::testing::ValuesIn(family_cases()), case_name);

INSTANTIATE_TEST_SUITE_P(
    Variants, Parity,
    ::testing::Values(Case{"lora_pattern", "lora"}, Case{"lora_saved_tied", "lora"},
                      Case{"lora_saved_head", "lora"}, Case{"lora_saved_embedding", "lora"},
                      Case{"lora_saved_norms", "lora"}, Case{"lora_dora", "lora"}),
    case_name);

}  // namespace
}  // namespace athanor::testing
