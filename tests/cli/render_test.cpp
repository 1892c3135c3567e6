// athanor render.
#include <fstream>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

constexpr const char* kMessages = R"([{"role": "user", "content": "Grüße"}])";

class RenderTest : public CliTest {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  static std::string rendered(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "render");
    const ProcessResult result = athanor(arguments, kMessages);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
};

TEST_F(RenderTest, FlagsBecomeTheVariablesOfTheTemplate) {
  const std::string file =
      write("t.jinja",
            "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}"
            "{% endfor %}{% if tools %}{{ tools|tojson }}{% endif %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}{{ strftime_now('%d %b %Y') }}");
  const std::string tools = write("tools.json", R"([{"name": "é", "a": 1}])");
  EXPECT_EQ(rendered({"--template", file, "--date", "2024-07-26"}), "<user>Grüße26 Jul 2024");
  EXPECT_EQ(rendered({"--template", file, "--date", "2024-07-26", "--bos", "[", "--eos", "]",
                      "--tools", tools, "--generation-prompt"}),
            "[<user>Grüße][{\"name\": \"é\", \"a\": 1}]<assistant>26 Jul 2024");
}

TEST_F(RenderTest, ModelFolderGivesTemplateAndTokens) {
  const std::string config = write("model/tokenizer_config.json", R"({
      "chat_template": "config {{ bos_token }}{{ messages[0].content }}",
      "bos_token": {"content": "<s>"}, "eos_token": "</s>"})");
  const std::string model = std::filesystem::path(config).parent_path().string();
  EXPECT_EQ(rendered({model}), "config <s>Grüße");
  EXPECT_EQ(rendered({model, "--bos", ""}), "config Grüße");
  write("model/chat_template.jinja", "file {{ eos_token }}");
  EXPECT_EQ(rendered({model}), "file </s>");
}

TEST_F(RenderTest, NamedTemplatesAreChosenAsTransformersDoes) {
  const std::string config = write("model/tokenizer_config.json", R"({"chat_template": [
      {"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]})");
  const std::string model = std::filesystem::path(config).parent_path().string();
  EXPECT_EQ(rendered({model}), "plain");
  EXPECT_EQ(rendered({model, "--tools", write("tools.json", "[{}]")}), "tools");
}

TEST_F(RenderTest, ErrorsNameFileAndLine) {
  const std::string file = write("bad.jinja", "\n{{ messages.x.y }}");
  expect_error(athanor({"render", "--template", file}, kMessages), 65, {"bad.jinja:2:"});
  expect_error(athanor({"render", "--template", file}, "{"), 65, {"standard input"});
  expect_error(athanor({"render", "--template", file}, "{}"), 65, {"list of messages"});
  expect_error(athanor({"render", "/nowhere"}, kMessages), 78, {"/nowhere"});
  expect_error(athanor({"render"}, kMessages), 2, {"--template"});
  const std::string empty = write("empty/tokenizer_config.json", "{}");
  expect_error(athanor({"render", std::filesystem::path(empty).parent_path().string()}, kMessages),
               65, {"chat_template", "empty"});
}

}  // namespace
}  // namespace athanor::testing
