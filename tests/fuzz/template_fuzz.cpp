// A chat template, and behind the first zero byte the variables (a JSON object) that it renders.
#include "runtime/data/jinja/template.h"
#include "runtime/data/utf8.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace athanor;
  const std::string_view input = fuzz::text_of(data, size);
  const size_t end = std::min(input.find('\0'), input.size());
  const std::string_view source = input.substr(0, end);
  const std::string_view json = input.substr(std::min(end + 1, input.size()));
  fuzz::expect_only_errors([&] {
    const jinja::Template parsed(source, "template");
    jinja::Dict variables;
    variables.set("messages", jinja::Value::list({}));
    jinja::Value given = json.empty() ? jinja::Value(std::move(variables))
                                      : jinja::value_from_json(json, "variables");
    if (!given.is(jinja::Kind::kDict)) return;
    jinja::Limits limits;
    limits.steps = 100'000;
    limits.bytes = int64_t{16} << 20;
    limits.output = int64_t{1} << 20;
    limits.depth = 100;
    const jinja::Rendered rendered = parsed.render(given, "2024-07-26", limits);
    const auto length = static_cast<int64_t>(rendered.text.size());
    ATHANOR_CHECK(length <= limits.output, "the output's limit");
    if (!first_invalid_utf8(source)) {
      ATHANOR_CHECK(!first_invalid_utf8(rendered.text), "UTF-8 stays UTF-8");
    }
    int64_t before = 0;
    for (const ByteSpan span : rendered.generation) {
      if (rendered.generation_misplaced) break;
      ATHANOR_CHECK(before <= span.begin && span.begin <= span.end && span.end <= length,
                    "generation blocks follow one another inside the text");
      before = span.end;
    }
  });
  return 0;
}
