// What sharding knows about a model: units (what is gathered, leased and updated together), their
// parameters, and the chain in which units are used. No attention, no file formats.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"

namespace athanor {

enum class ParamKind {
  kVector,     // norms and biases: no weight decay
  kMatrix,     // weight of a linear layer, [out, in]
  kEmbedding,  // looked up by row only
};

struct ParamSpec {
  std::string name;  // the name under which files know it
  Shape shape;
  ParamKind kind = ParamKind::kMatrix;
  bool trainable = false;
  bool weight_decay = true;
};

struct UnitSpec {
  std::string name;
  std::vector<ParamSpec> params;
  // Uses in which the unit's trainable parameters get a gradient, one gradient slot each.
  int uses = 1;
};

// One position of the chain: which unit runs, and which of its uses this is. The last position is
// the head, which computes the loss.
struct ChainPosition {
  int unit = 0;
  int use = 0;
};

// Where a file holds elements of a parameter just as they are needed in memory.
struct FileExtent {
  std::string path;    // empty in a plan
  int64_t offset = 0;  // bytes from the start of the file, any alignment
  int64_t bytes = 0;
};

// Reads initial values. Implementations read files by ranges or draw random numbers.
class ParamSource {
 public:
  virtual ~ParamSource() = default;
  // Elements [begin, begin + count) of a parameter, row-major, as dtype (f32|bf16), into dst.
  virtual void read(const ParamSpec& param, int64_t begin, int64_t count, DType dtype,
                    void* dst) = 0;
  // The same range, where it lies in a file that needs no cast and stays as it is during the run.
  virtual std::optional<FileExtent> extent(const ParamSpec& param, int64_t begin, int64_t count,
                                           DType dtype) {
    (void)param, (void)begin, (void)count, (void)dtype;
    return std::nullopt;
  }
};

}  // namespace athanor
