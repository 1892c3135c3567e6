// The template interpreter: published templates against jinja2's renders, and its own rules.
#include <sstream>

#include "runtime/data/jinja/template.h"
#include "tests/data/data_test_support.h"

namespace athanor::jinja {
namespace {

std::string render(std::string_view source, std::string_view variables = "{}") {
  return Template(source, "t").render(value_from_json(variables, "variables")).text;
}

TEST(Jinja, EqualsJinja2OnPublishedTemplates) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "ATHANOR_TEST_DATA names no folder";
  std::istringstream lines(read_all(*data / "templates" / "golden.jsonl"));
  int rendered = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto golden = nlohmann::ordered_json::parse(line);
    const std::string file = golden.at("template").get<std::string>();
    const std::string source =
        file.starts_with("@")
            ? nlohmann::json::parse(
                  read_all(*data / "tokenizers" / file.substr(1) / "tokenizer_config.json"))
                  .at("chat_template")
                  .get<std::string>()
            : read_all(*data / "templates" / file);
    nlohmann::ordered_json variables = golden;
    variables.erase("rendered");
    if (!variables.contains("tools")) variables["tools"] = nullptr;
    ++rendered;
    const auto text = [&] {
      const Value values = value_from_json(variables.dump(), file);
      return Template(source, file).render(values, "2024-07-26").text;
    };
    if (!golden.contains("rendered") || !golden.at("rendered").is_string()) {
      error_of(text);  // the template refuses the conversation
    } else {
      EXPECT_EQ(text(), golden.at("rendered").get<std::string>()) << line;
    }
  }
  EXPECT_EQ(rendered, 48);
}

// Cases of tools/compare_jinja.py --golden: expressions and blocks by chance, rendered by jinja2.
TEST(Jinja, EqualsJinja2OnGeneratedTemplates) {
  std::istringstream lines(
      read_all(std::filesystem::path(ATHANOR_SOURCE_DIR) / "tests/data/jinja_golden.jsonl"));
  int rendered = 0;
  for (std::string line; std::getline(lines, line); ++rendered) {
    nlohmann::ordered_json golden = nlohmann::ordered_json::parse(line);
    const std::string source = golden.at("template").get<std::string>();
    golden["tools"] = nullptr;
    golden["add_generation_prompt"] = false;
    const Value values = value_from_json(golden.dump(), "golden");
    EXPECT_EQ(Template(source, "t").render(values, "2024-07-26").text, golden.at("rendered"))
        << source;
  }
  EXPECT_EQ(rendered, 150);
}

TEST(Jinja, LoopsRecurseAndFilterLazily) {
  EXPECT_EQ(render("{% for x in [1, [2, [3]]] recursive %}"
                   "{{ loop(x) if x is iterable else x ~ '@' ~ loop.depth ~ ' ' }}{% endfor %}"),
            "1@1 2@2 3@3 ");
  EXPECT_EQ(render("{% set n = namespace(x=0) %}{% for i in [1, 2, 3] if n.x < 2 %}"
                   "{% set n.x = n.x + 1 %}{{ i }}{% endfor %}"),
            "12");
}

TEST(Jinja, TrimsBlocksAsTransformersConfiguresIt) {
  EXPECT_EQ(render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(render("a  {%- if true -%}  b  {%- endif -%}  c"), "abc");
  EXPECT_EQ(render("{% raw %}{{ x }}{% endraw %}{# no #}"), "{{ x }}");
}

TEST(Jinja, PrintsValuesAsPythonDoes) {
  EXPECT_EQ(render("{{ [1, 2.0, 'a\\n', none, true, {'k': (1,)}] }}"),
            "[1, 2.0, 'a\\n', None, True, {'k': (1,)}]");
  EXPECT_EQ(render("{{ 7 // -2 }} {{ 7 % -2 }} {{ 1e22 }} {{ 3 / 2 }}"), "-4 -1 1e+22 1.5");
  EXPECT_EQ(render("{{ 'äöü'[1:] }}{{ 'äöü'[::-1] }}"), "öüüöä");
  EXPECT_EQ(render("{{ {'b': 1, 'a': 'ä'}|tojson }}"), "{\"b\": 1, \"a\": \"ä\"}");
}

TEST(Jinja, ScopesLoopsAndNamespaces) {
  EXPECT_EQ(render("{% set x = 1 %}{% for i in [1, 2] %}{% set x = i %}{% endfor %}{{ x }}"), "1");
  EXPECT_EQ(render("{% set n = namespace(x=0) %}{% for i in [1, 2, 3] if i != 2 %}"
                   "{% set n.x = n.x + i %}{{ loop.length }}{% endfor %}{{ n.x }}"),
            "224");
  EXPECT_EQ(render("{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, b=2) }}"),
            "1112");
}

TEST(Jinja, GenerationBlocksAreByteSpans) {
  const Rendered out = Template("ä{% generation %}yes{% endgeneration %}!", "t")
                           .render(value_from_json("{}", "variables"));
  EXPECT_EQ(out.text, "äyes!");
  ASSERT_EQ(out.generation.size(), 1u);
  EXPECT_EQ(out.generation[0], (ByteSpan{2, 5}));
}

TEST(Jinja, NamesWhatItLacksWithItsLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"\n{% include 'x' %}", "t:2: the tag \"include\""},
      {"\n\n{{ 'x'|urlize }}", "t:3: the filter \"urlize\""},
      {"{{ 'x' is test }}", "t:1: the test \"test\""},
      {"{{ 'x'.expandtabs(3) }}", "t:1: the method \"expandtabs\""},
      {"{{ raise_exception('no') }}", "t:1: the template refuses: no"},
      {"{{ raise_exception('two\\nlines\\x1b') }}", "t:1: the template refuses: two\\nlines\\x1b"},
      {"{{ x.y }}", "t:1: 'x' is undefined"}};
  for (const auto& [source, message] : cases) {
    const Error error = error_of([&, text = source] { render(text); });
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_NE(error.message().find(message), std::string::npos) << error.message();
  }
}

TEST(Jinja, IsBoundedInTimeDepthAndOutput) {
  for (const char* source :
       {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'x' * 9999999999 }}",
        "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}",
        "{% set n = namespace() %}{% set n.n = n %}{{ n.n.missing.more }}"}) {
    EXPECT_EQ(error_of([&] { render(source); }).kind(), ErrorKind::kBadInput);
  }
  EXPECT_EQ(error_of([] { render("{{ " + std::string(5000, '(')); }).kind(), ErrorKind::kBadInput);
}

}  // namespace
}  // namespace athanor::jinja
