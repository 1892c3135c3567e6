// What follows the program's name.
#include "tests/bad_input/scene.h"

namespace athanor::testing {
namespace {

auto words(std::vector<std::string> arguments) {
  return [arguments = std::move(arguments)](Scene& s) { s.arguments = arguments; };
}

const BadInput kCases[] = {
    {"NoVerb", 2, "command line", "subcommand is required", "--help",
     [](Scene& s) {
       // An empty list would mean train.
       s.arguments = {"--"};
     }},
    {"UnknownVerb", 2, "command line", "trian", "--help", words({"trian", "config.yaml"})},
    {"NoConfig", 2, "command line", "CONFIG is required", "--help", words({"train"})},
    {"UnknownFlag", 2, "command line", "--frobnicate", "--help",
     words({"train", "config.yaml", "--frobnicate"})},
    {"ZeroRanks", 2, "command line", "--world", "1", words({"plan", "c.yaml", "--world", "0"})},
    {"RanksInWords", 2, "command line", "--world", "two",
     words({"plan", "c.yaml", "--world", "two"})},
    {"NoModel", 2, "command line", "MODEL is required", "--help", words({"generate"})},
    {"ShareAboveOne", 2, "command line", "--top-p", "2", words({"generate", "m", "--top-p", "2"})},
    {"NegativeTemperature", 2, "command line", "--temperature", "-1",
     words({"generate", "m", "--temperature", "-1"})},
    {"LogitsWithoutAFile", 2, "--logits-of", "needs a list", "--logits-file",
     [](Scene& s) {
       s.arguments = {"generate", s.path("model"), "--logits-of", "[1]"};
     }},
    {"TwoModels", 2, "command line", "two", "--help", words({"tokenize", "one", "two"})},
};

ATHANOR_BAD_INPUT(CommandLine, kCases);

}  // namespace
}  // namespace athanor::testing
