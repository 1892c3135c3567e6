// Which model a tokenizer.json has.
#include "runtime/data/subword_model.h"

#include "runtime/data/bpe.h"
#include "runtime/data/unigram.h"
#include "runtime/data/utf8.h"

namespace athanor {

std::unique_ptr<SubwordModel> SubwordModel::from_json(const JsonField& model) {
  const std::string& type = model.at("type").string();
  if (type == "BPE") return std::make_unique<BpeModel>(BpeModel::from_json(model));
  if (type == "Unigram") return std::make_unique<UnigramModel>(UnigramModel::from_json(model));
  model.fail("model type " + in_quotes(type) + " is not supported (known: BPE, Unigram)");
}

}  // namespace athanor
