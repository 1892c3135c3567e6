// tokenizer.json: what loads gives ids of its vocabulary and text that is UTF-8.
#include "runtime/data/tokenizer.h"
#include "runtime/data/utf8.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace athanor;
  fuzz::expect_only_errors([&] {
    const Tokenizer tokenizer =
        Tokenizer::load(fuzz::folder().write("tokenizer.json", fuzz::text_of(data, size)));
    for (const std::string_view text :
         {"", "a", "abab <s> hello\n\n 12345 ab", "h\u00e9llo \u2581\U0001f525 e\u0301"}) {
      const Encoding encoding = tokenizer.encode_with_spans(text, true);
      ATHANOR_CHECK(encoding.ids.size() == encoding.spans.size(), "a span for each id");
      for (size_t i = 0; i < encoding.ids.size(); ++i) {
        const ByteSpan span = encoding.spans[i];
        ATHANOR_CHECK(tokenizer.id_to_token(encoding.ids[i]).has_value(), "an id of a token");
        ATHANOR_CHECK(0 <= span.begin && span.begin <= span.end &&
                          span.end <= static_cast<int64_t>(text.size()),
                      "a span inside the text");
      }
      ATHANOR_CHECK(!first_invalid_utf8(tokenizer.decode(encoding.ids, false)), "UTF-8");
    }
  });
  return 0;
}
