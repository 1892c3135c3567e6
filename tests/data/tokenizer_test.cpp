// Components of tokenizer.json on small hand-made files.
#include "runtime/data/tokenizer.h"

#include <thread>

#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

using nlohmann::json;

Tokenizer load(const json& config) {
  const TempFolder folder;
  return Tokenizer::load(folder.write("tokenizer.json", config.dump()));
}

// Letters and signs as single tokens, ids in the order of the list.
json character_vocab(const std::vector<std::string>& tokens) {
  json vocab = json::object();
  for (size_t i = 0; i < tokens.size(); ++i) vocab[tokens[i]] = i;
  return vocab;
}

json config_with(const json& vocab, const json& merges) {
  return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

// The texts of the pieces: with merges that join everything, each word is one token.
std::vector<std::string> words_of(const json& pre_tokenizer, const std::string& text) {
  json config = byte_tokenizer_json();
  config["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {pre_tokenizer,
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  // ignore_merges makes a token of every whole word in the vocabulary: all pieces of the text.
  config["model"]["ignore_merges"] = true;
  int id = 259;
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (size_t size = 2; begin + size <= text.size(); ++size) {
      std::string token;
      for (const char c : text.substr(begin, size)) {
        token += byte_level_character(static_cast<uint8_t>(c));
      }
      if (!config["model"]["vocab"].contains(token)) config["model"]["vocab"][token] = id++;
    }
  }
  const Tokenizer tokenizer = load(config);
  std::vector<std::string> words;
  for (const int32_t token : tokenizer.encode(text, false)) {
    words.push_back(tokenizer.decode(std::vector<int32_t>{token}, false));
  }
  return words;
}

TEST(Bpe, JoinsTheLowestRankFirstThenTheLeftmost) {
  const json vocab = character_vocab({"a", "b", "c", "ab", "bc", "abc", "aa"});
  const Tokenizer tokenizer = load(config_with(vocab, {"b c", "a b", "a bc", "a a"}));
  EXPECT_EQ(tokenizer.encode("abc", false), (std::vector<int32_t>{5}));
  EXPECT_EQ(tokenizer.encode("abab", false), (std::vector<int32_t>{3, 3}));
  EXPECT_EQ(tokenizer.encode("aaa", false), (std::vector<int32_t>{6, 0}));
}

TEST(Bpe, LongWordsAreMergedLikeShortOnes) {
  const json vocab = character_vocab({"a", "b", "ab", "abab", "ba", "abababab"});
  const Tokenizer tokenizer = load(config_with(
      vocab, json::parse(R"([["a", "b"], ["ab", "ab"], ["b", "a"], ["abab", "abab"]])")));
  std::string text;
  std::vector<int32_t> expected;
  for (int i = 0; i < 2000; ++i) {
    text += "abababab";
    expected.push_back(5);
  }
  EXPECT_EQ(tokenizer.encode(text, false), expected);
  EXPECT_EQ(tokenizer.encode("b" + text + "b", false).size(), expected.size() + 2);
}

TEST(Bpe, UnknownCharactersAreBytesThenUnkThenNothing) {
  json vocab = character_vocab({"a", "<unk>"});
  json config = config_with(vocab, json::array());
  EXPECT_EQ(load(config).encode("xxax", false), (std::vector<int32_t>{0}));
  EXPECT_EQ(load(config).encode_with_spans("xxax", false).spans, (std::vector<ByteSpan>{{0, 4}}));
  config["model"]["unk_token"] = "<unk>";
  EXPECT_EQ(load(config).encode("xxax", false), (std::vector<int32_t>{1, 1, 0, 1}));
  config["model"]["fuse_unk"] = true;
  EXPECT_EQ(load(config).encode("xxax", false), (std::vector<int32_t>{1, 0, 1}));
  config["model"]["byte_fallback"] = true;
  config["model"]["vocab"]["<0x78>"] = 7;
  EXPECT_EQ(load(config).encode("xxaé", false), (std::vector<int32_t>{7, 7, 0, 1}));
}

TEST(AddedTokens, TakeSpacesAndStandAloneAsTheySay) {
  json config = byte_tokenizer_json();
  const auto flags = [&](const char* flag) {
    json changed = config;
    changed["added_tokens"][0][flag] = true;
    return load(changed).encode_with_spans("x <|im_start|> y", false);
  };
  const Encoding plain = load(config).encode_with_spans("x <|im_start|> y", false);
  EXPECT_EQ(plain.ids, (std::vector<int32_t>{'x', ' ', 256, ' ', 'y'}));
  EXPECT_EQ(plain.spans[2], (ByteSpan{2, 14}));
  EXPECT_EQ(flags("lstrip").ids, (std::vector<int32_t>{'x', 256, ' ', 'y'}));
  EXPECT_EQ(flags("rstrip").ids, (std::vector<int32_t>{'x', ' ', 256, 'y'}));
  EXPECT_EQ(flags("single_word").ids, plain.ids);
  config["added_tokens"][0]["single_word"] = true;
  EXPECT_EQ(load(config).encode("x<|im_start|> y", false).size(), 15u);
}

TEST(PreTokenizers, CutAsTheySay) {
  using Words = std::vector<std::string>;
  const auto split = [](const char* behavior, bool invert) -> json {
    return {{"type", "Split"},
            {"pattern", {{"String", "-"}}},
            {"behavior", behavior},
            {"invert", invert}};
  };
  EXPECT_EQ(words_of(split("Isolated", false), "ab--c-"), (Words{"ab", "-", "-", "c", "-"}));
  EXPECT_EQ(words_of(split("Removed", false), "ab--c-"), (Words{"ab", "c"}));
  EXPECT_EQ(words_of(split("Removed", true), "ab--c-"), (Words{"-", "-", "-"}));
  EXPECT_EQ(words_of(split("Contiguous", false), "ab--c-"), (Words{"ab", "--", "c", "-"}));
  EXPECT_EQ(words_of(split("MergedWithPrevious", false), "ab--c-"), (Words{"ab-", "-", "c-"}));
  EXPECT_EQ(words_of(split("MergedWithNext", false), "ab--c-"), (Words{"ab", "-", "-c", "-"}));
  EXPECT_EQ(words_of({{"type", "Digits"}, {"individual_digits", true}}, "a12"),
            (Words{"a", "1", "2"}));
  EXPECT_EQ(words_of({{"type", "Digits"}, {"individual_digits", false}}, "a12"),
            (Words{"a", "12"}));
  EXPECT_EQ(words_of({{"type", "Split"},
                      {"pattern", {{"Regex", R"(\p{L}+|\s+(?!\S)|\s+)"}}},
                      {"behavior", "Isolated"}},
                     "ab  cd"),
            (Words{"ab", " ", " ", "cd"}));
}

TEST(PreTokenizers, CharacterClassesCut) {
  using Words = std::vector<std::string>;
  const auto cut = [](const char* type, const std::string& text) {
    return words_of({{"type", type}}, text);
  };
  EXPECT_EQ(cut("Whitespace", "ab_1 c\u0301,; d"), (Words{"ab_1", "c\u0301", ",;", "d"}));
  EXPECT_EQ(cut("WhitespaceSplit", " a,b  c\t"), (Words{"a,b", "c"}));
  EXPECT_EQ(cut("BertPreTokenizer", "ab, $c\u3002"), (Words{"ab", ",", "$", "c", "\u3002"}));
  EXPECT_EQ(cut("Punctuation", "a!!b"), (Words{"a", "!", "!", "b"}));
  EXPECT_EQ(words_of({{"type", "Punctuation"}, {"behavior", "Contiguous"}}, "a!!b"),
            (Words{"a", "!!", "b"}));
}

TEST(PostProcessors, RobertaAndBertPutTheirTokensAround) {
  for (const char* type : {"RobertaProcessing", "BertProcessing"}) {
    json config = byte_tokenizer_json();
    config["post_processor"] = {{"type", type}, {"cls", {"B", 256}}, {"sep", {"E", 258}}};
    EXPECT_EQ(load(config).encode("a", true), (std::vector<int32_t>{256, 'a', 258}));
  }
}

TEST(Decoders, WordPieceAndBpeJoinWords) {
  json config = config_with(character_vocab({"un", "##do", "it", ".", "it</w>"}), json::array());
  config["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  EXPECT_EQ(load(config).decode(std::vector<int32_t>{0, 1, 2, 3}, false), "undo it.");
  config["decoder"]["cleanup"] = false;
  EXPECT_EQ(load(config).decode(std::vector<int32_t>{0, 1, 2, 3}, false), "undo it .");
  config["decoder"] = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
  EXPECT_EQ(load(config).decode(std::vector<int32_t>{4, 0, 4}, false), "it unit");
}

TEST(PreTokenizers, ByteLevelPrefixSpaceHasNoBytesOfItsOwn) {
  json config = byte_tokenizer_json();
  config["pre_tokenizer"]["add_prefix_space"] = true;
  const Encoding encoding = load(config).encode_with_spans("hi", false);
  EXPECT_EQ(encoding.ids, (std::vector<int32_t>{' ', 'h', 'i'}));
  EXPECT_EQ(encoding.spans, (std::vector<ByteSpan>{{0, 0}, {0, 1}, {1, 2}}));
}

TEST(PreTokenizers, MetaspaceRoundTrips) {
  json config = config_with(character_vocab({"▁", "a", "b", "▁a", "▁b"}), {"▁ a", "▁ b"});
  const json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}};
  config["pre_tokenizer"] = metaspace;
  config["decoder"] = metaspace;
  const Tokenizer tokenizer = load(config);
  const Encoding encoding = tokenizer.encode_with_spans("a b", false);
  EXPECT_EQ(encoding.ids, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(encoding.spans, (std::vector<ByteSpan>{{0, 1}, {1, 3}}));
  EXPECT_EQ(tokenizer.decode(encoding.ids, false), "a b");
}

// The text after the normalizer: the byte tokenizer gives one id per byte.
std::string normalized(const json& normalizer, const std::string& text) {
  json config = byte_tokenizer_json();
  config["normalizer"] = normalizer;
  config["pre_tokenizer"]["use_regex"] = false;
  std::string bytes;
  for (const int32_t id : load(config).encode(text, false)) bytes.push_back(static_cast<char>(id));
  return bytes;
}

TEST(Normalizers, UnicodeFormsComposeAndDecompose) {
  const auto form = [](const char* type, const std::string& text) {
    return normalized({{"type", type}}, text);
  };
  EXPECT_EQ(form("NFC", "ae\u0301 \u1100\u1161\u11A8 \u212B"), "a\u00E9 \uAC01 \u00C5");
  EXPECT_EQ(form("NFC", "q\u0307\u0323"), "q\u0323\u0307");  // marks in the order of their class
  EXPECT_EQ(form("NFC", "\u0958"), "\u0915\u093C");          // excluded from composition
  EXPECT_EQ(form("NFD", "\u00E9\uAC01"), "e\u0301\u1100\u1161\u11A8");
  EXPECT_EQ(form("NFKC", "\uFB01 \u2460 \uFF21"), "fi 1 A");
  EXPECT_EQ(form("NFKD", "\u01C4"), "DZ\u030C");
}

TEST(Normalizers, CharactersChangeAsTheySay) {
  const auto simple = [](const char* type, const std::string& text) {
    return normalized({{"type", type}}, text);
  };
  EXPECT_EQ(simple("Lowercase", "\u00C9\u0130A"), "\u00E9i\u0307a");
  EXPECT_EQ(simple("StripAccents", "e\u0301"), "e");
  EXPECT_EQ(simple("Nmt", "a\x01\t\u200Bb"), "a  b");
  EXPECT_EQ(
      normalized({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}, " \u00A0a b\t"),
      "a b");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}}, " a "),
            "a ");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}, "  "), "");
  EXPECT_EQ(normalized({{"type", "BertNormalizer"},
                        {"clean_text", true},
                        {"handle_chinese_chars", true},
                        {"strip_accents", nullptr},
                        {"lowercase", true}},
                       "\u00C9\tA\u4E2D\u200D"),
            "e a \u4E2D ");
}

TEST(Normalizers, ComposedTextKeepsItsBytes) {
  json config = byte_tokenizer_json();
  config["normalizer"] = {{"type", "NFC"}};
  const Encoding encoding = load(config).encode_with_spans("xe\u0301y", false);
  EXPECT_EQ(encoding.spans, (std::vector<ByteSpan>{{0, 1}, {1, 4}, {1, 4}, {4, 5}}));
}

TEST(PostProcessors, TemplatesPutTokensAround) {
  json config = byte_tokenizer_json();
  config["post_processor"] = json::parse(R"({"type": "Sequence", "processors": [
    {"type": "ByteLevel", "trim_offsets": false},
    {"type": "TemplateProcessing",
     "single": [{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A"}},
                {"SpecialToken": {"id": "E", "type_id": 0}}],
     "special_tokens": {"B": {"id": "B", "ids": [256], "tokens": ["B"]},
                        "E": {"id": "E", "ids": [257, 258], "tokens": ["E", "F"]}}}]})");
  const Tokenizer tokenizer = load(config);
  EXPECT_EQ(tokenizer.encode("hi", true), (std::vector<int32_t>{256, 'h', 'i', 257, 258}));
  EXPECT_EQ(tokenizer.encode("hi", false), (std::vector<int32_t>{'h', 'i'}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("hi", true), true), "hi");
}

TEST(SpecialTokens, EosMayBeAList) {
  const TempFolder folder;
  folder.write("tokenizer.json", byte_tokenizer_json().dump());
  folder.write("tokenizer_config.json", R"({"eos_token": {"content": "<|im_end|>"}})");
  folder.write("generation_config.json", R"({"bos_token_id": 256, "eos_token_id": [258, 257]})");
  folder.write("config.json", R"({"eos_token_id": 5})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.eos_ids(), (std::vector<int32_t>{257, 258}));
  EXPECT_EQ(tokenizer.eos_token(), "<|im_end|>");
  EXPECT_EQ(tokenizer.bos_token(), "<|im_start|>");
  EXPECT_EQ(tokenizer.vocab_size(), kByteTokenizerVocab);
}

TEST(Tokenizer, IdsWithoutATokenStandForNothing) {
  const Tokenizer tokenizer = load(byte_tokenizer_json());
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{'a', 100000, -1, 'b'}, false), "ab");
  EXPECT_EQ(tokenizer.id_to_token(100000), std::nullopt);
}

TEST(Tokenizer, TextMustBeUtf8) {
  const Tokenizer tokenizer = load(byte_tokenizer_json());
  const Error error = error_of([&] { tokenizer.encode("ab\xFF", false); });
  EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
  EXPECT_NE(error.message().find("byte 2"), std::string::npos);
}

TEST(Tokenizer, IsUsedByManyThreads) {
  const Tokenizer tokenizer = load(byte_tokenizer_json());
  const std::string text = "It's 12 o'clock <|im_end|> 日本";
  const std::vector<int32_t> expected = tokenizer.encode(text, true);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        EXPECT_EQ(tokenizer.encode(text, true), expected);
        EXPECT_EQ(tokenizer.decode(expected, false), text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace athanor
