// The output folder of a run: what was trained, in the layout of PEFT or Hugging Face, and its
// logs.
#pragma once

#include <filesystem>
#include <optional>

#include "runtime/train/session.h"
#include "runtime/train/trainer.h"

namespace athanor {

// The folder of `athanor launch` for what its ranks say.
inline constexpr char kLogsFolder[] = "logs";

// Throws kConfig when another run is using the folder, or it has files and the run neither goes on
// from a checkpoint nor may overwrite them. Logs do not count: a run that failed before it began
// leaves nothing else.
void check_output_folder(const RunConfig& config);

// The run goes on in the folder of the run that it comes from.
bool resumes_in_place(const RunConfig& config);

// Throws kIo when the disk tier is in use and its folder cannot take a file on this host, before
// data is read; warns when the folder is in memory.
void check_disk_folder(const RunConfig& config);

// Collective: all ranks call it, the one with `writes` writes. LoRA: adapter_config.json and
// adapter_model.safetensors (float32 masters); full: config.json and the model in working dtype.
// Tokenizer files are copied beside. Everything appears under its name complete or not at all.
void save_weights(Trainer& trainer, const ResolvedRun& run, bool writes);

// config.json of `model` with the dtype of weights that were written anew, and
// generation_config.json. Keys that this program does not know stay.
void write_model_config(const std::filesystem::path& model, const std::filesystem::path& output,
                        std::optional<DType> dtype, bool untied);
void copy_tokenizer_files(const std::filesystem::path& model, const std::filesystem::path& output);

}  // namespace athanor
