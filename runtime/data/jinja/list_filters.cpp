// Filters on sequences: picking, ordering, grouping.
#include <algorithm>

#include "runtime/data/jinja/call.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

// The value that an attribute names: an integer, or names and integers joined by dots.
Value get_attribute(Call& c, const Value& item, const Value& attribute) {
  if (attribute.is_none()) return item;
  if (!attribute.is_string()) return c.run.item(item, attribute);
  Value value = item;
  const std::string& path = attribute.string();
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('.', at), path.size());
    const std::string part = path.substr(at, end - at);
    const bool digits =
        !part.empty() && part.size() < 18 && part.find_first_not_of("0123456789") == part.npos;
    value = c.run.item(value, digits ? Value(int64_t{std::stoll(part)}) : Value(part));
    at = end + 1;
  }
  return value;
}

Value fold_case(const Value& value, bool fold) {
  return fold && value.is_string() ? Value(lower(value.string())) : value;
}

// The key of sort, min, max, unique, groupby.
Value key_of(Call& c, const Value& item, const Value& attribute, bool case_sensitive) {
  return fold_case(get_attribute(c, item, attribute), !case_sensitive);
}

using Keyed = std::pair<Value, Value>;  // key, item

void sort_keyed(Call& c, std::vector<Keyed>& all, bool reverse) {
  if (reverse) std::reverse(all.begin(), all.end());
  std::stable_sort(all.begin(), all.end(),
                   [&](const Keyed& a, const Keyed& b) { return c.run.less(a.first, b.first); });
  if (reverse) std::reverse(all.begin(), all.end());
}

Value sort_filter(Call& c) {
  const Value by = c.get(2);
  List parts = {by};
  if (by.is_string() && by.string().find(',') != std::string::npos) {
    Arguments comma{{Value(std::string(","))}, {}};
    parts = c.run.method(by, "split", comma).items();
  }
  std::vector<Keyed> all;
  for (Value& item : c.run.iterate(c.self)) {
    List keys;
    for (const Value& part : parts) keys.push_back(key_of(c, item, part, c.flag(1)));
    all.emplace_back(Value::list(std::move(keys)), std::move(item));
  }
  sort_keyed(c, all, c.flag(0));
  List sorted;
  for (Keyed& item : all) sorted.push_back(std::move(item.second));
  return c.run.list(std::move(sorted));
}

Value dictsort_filter(Call& c) {
  if (!c.self.is(Kind::kDict)) c.fail("expected a dict, found " + c.run.type_name(c.self));
  const std::string by = c.has(1) ? c.string(1) : "key";
  if (by != "key" && by != "value") c.fail("by must be key or value");
  std::vector<Keyed> all;
  for (const auto& [key, value] : c.self.dict().entries()) {
    all.emplace_back(fold_case(by == "key" ? key : value, !c.flag(0)), c.run.tuple({key, value}));
  }
  sort_keyed(c, all, c.flag(2));
  List sorted;
  for (Keyed& item : all) sorted.push_back(std::move(item.second));
  return c.run.list(std::move(sorted));
}

Value extreme_filter(Call& c) {
  const List items = c.run.iterate(c.self);
  if (items.empty()) return Value::undefined("no aggregated item, the sequence was empty");
  size_t best = 0;
  Value best_key = key_of(c, items[0], c.get(1), c.flag(0));
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = key_of(c, items[i], c.get(1), c.flag(0));
    if (c.name == "min" ? c.run.less(key, best_key) : c.run.less(best_key, key)) {
      best = i;
      best_key = std::move(key);
    }
  }
  return items[best];
}

Value unique_filter(Call& c) {
  Dict seen;
  List kept;
  for (const Value& item : c.run.iterate(c.self)) {
    Value key = key_of(c, item, c.get(1), c.flag(0));
    if (!is_hashable(key)) c.fail("a " + c.run.type_name(key) + " is not hashable");
    if (seen.find(key) != nullptr) continue;
    c.run.memory(64);
    seen.set(std::move(key), Value(true));
    kept.push_back(item);
  }
  return generator(std::move(kept));
}

Value groupby_filter(Call& c) {
  std::vector<Keyed> all;
  const auto raw_key = [&](const Value& item) {
    Value key = get_attribute(c, item, c.get(0));
    return key.is_undefined() && c.has(1) ? c.get(1) : key;
  };
  for (const Value& item : c.run.iterate(c.self))
    all.emplace_back(fold_case(raw_key(item), !c.flag(2)), item);
  sort_keyed(c, all, false);
  List groups;
  for (size_t begin = 0; begin < all.size();) {
    List members;
    size_t end = begin;
    for (; end < all.size() && c.run.equal(all[end].first, all[begin].first); ++end)
      members.push_back(all[end].second);
    c.run.memory(static_cast<int64_t>(members.size() * sizeof(Value)));
    groups.push_back(Value::group(raw_key(all[begin].second), std::move(members)));
    begin = std::max(end, begin + 1);
  }
  return c.run.list(std::move(groups));
}

Value sum_filter(Call& c) {
  Value total = c.get(1, Value(int64_t{0}));
  if (total.is_string()) c.fail("strings cannot be summed");
  for (const Value& item : c.run.iterate(c.self))
    total = c.run.binary("+", total, get_attribute(c, item, c.get(0)));
  return total;
}

Value first_filter(Call& c) {
  if (c.name == "last" && c.self.is(Kind::kObject) && !c.self.object()->length())
    c.fail("a " + c.run.type_name(c.self) + " cannot be reversed");
  const List items = c.run.iterate(c.self);
  if (items.empty()) return Value::undefined("no " + c.name + " item, the sequence was empty");
  return c.name == "first" ? items.front() : items.back();
}

Value reverse_filter(Call& c) {
  if (c.self.is_string())
    return c.run.slice(c.self, Value::none(), Value::none(), Value(int64_t{-1}));
  List items = c.run.iterate(c.self);
  std::reverse(items.begin(), items.end());
  return generator(std::move(items));
}

Value list_filter(Call& c) { return c.run.list(c.run.iterate(c.self)); }
Value length_filter(Call& c) { return Value(c.run.length(c.self)); }

Value items_filter(Call& c) {
  if (c.self.is_undefined()) return generator({});
  if (!c.self.is(Kind::kDict)) c.fail("expected a dict, found " + c.run.type_name(c.self));
  return generator(c.run.iterate(c.run.method(c.self, "items", {})));
}

Value join_filter(Call& c) {
  const std::string by = c.has(0) ? c.run.str(c.get(0)) : "";
  std::string out;
  bool first = true;
  for (const Value& part : c.run.iterate(c.self)) {
    out += (first ? "" : by) + c.run.str(get_attribute(c, part, c.get(1)));
    c.run.memory(static_cast<int64_t>(by.size()));
    first = false;
  }
  return c.run.text(std::move(out));
}

Value batch_filter(Call& c) {
  const int64_t count = c.integer(0, 0);
  List batches, batch;
  for (Value& item : c.run.iterate(c.self)) {
    if (static_cast<int64_t>(batch.size()) == count) {
      batches.push_back(c.run.list(std::exchange(batch, {})));
    }
    batch.push_back(std::move(item));
  }
  if (!batch.empty()) {
    while (!c.get(1).is_none() && static_cast<int64_t>(batch.size()) < count) {
      c.run.memory(static_cast<int64_t>(sizeof(Value)));
      batch.push_back(c.get(1));
    }
    batches.push_back(c.run.list(std::move(batch)));
  }
  return generator(std::move(batches));
}

Value slice_filter(Call& c) {
  const List items = c.run.iterate(c.self);
  const int64_t size = static_cast<int64_t>(items.size());
  const int64_t slices = c.integer(0, 0);
  if (slices == 0) c.fail("0 slices");
  List out;
  int64_t at = 0;
  for (int64_t i = 0; i < slices; ++i) {
    const bool longer = i < size % slices;
    const int64_t count = size / slices + (longer ? 1 : 0);
    List part(items.begin() + at, items.begin() + at + count);
    at += count;
    if (!longer && !c.get(1).is_none()) part.push_back(c.get(1));
    out.push_back(c.run.list(std::move(part)));
  }
  return generator(std::move(out));
}

// select, reject, selectattr, rejectattr: a test, or the truth of the value.
Value select_filter(Call& c) {
  const bool by_attribute = c.name.ends_with("attr");
  const bool wanted = c.name.starts_with("select");
  const size_t offset = by_attribute ? 1 : 0;
  if (c.all.positional.size() < offset) c.fail("the attribute is missing");
  const Value attribute = by_attribute ? c.all.positional[0] : Value::none();
  Arguments rest;
  std::string test;
  if (c.all.positional.size() > offset) {
    if (!c.all.positional[offset].is_string()) c.fail("the name of the test is not a string");
    test = c.all.positional[offset].string();
    rest.positional.assign(c.all.positional.begin() + static_cast<int64_t>(offset) + 1,
                           c.all.positional.end());
    rest.named = c.all.named;
  }
  List kept;
  for (const Value& item : c.run.iterate(c.self)) {
    const Value value = get_attribute(c, item, attribute);
    const bool yes = test.empty() ? c.run.truth(value) : c.run.test(test, value, rest);
    if (yes == wanted) kept.push_back(item);
  }
  return generator(std::move(kept));
}

Value map_filter(Call& c) {
  List out;
  const List items = c.run.iterate(c.self);
  if (c.all.positional.empty()) {
    Value attribute, fallback;
    for (const auto& [key, value] : c.all.named) {
      if (key != "attribute" && key != "default")
        c.fail("the argument " + in_quotes(key) + " is not supported");
      (key == "attribute" ? attribute : fallback) = value;
    }
    if (attribute.is_undefined()) c.fail("needs a filter or an attribute");
    for (const Value& item : items) {
      Value value = get_attribute(c, item, attribute);
      out.push_back(value.is_undefined() && !fallback.is_undefined() ? fallback : value);
    }
  } else {
    if (!c.all.positional[0].is_string()) c.fail("the name of the filter is not a string");
    Arguments rest{List(c.all.positional.begin() + 1, c.all.positional.end()), c.all.named};
    for (const Value& item : items)
      out.push_back(c.run.filter(c.all.positional[0].string(), item, rest));
  }
  c.run.memory(static_cast<int64_t>(out.size() * sizeof(Value)));
  return generator(std::move(out));
}

Value attr_filter(Call& c) { return c.run.attribute(c.self, c.string(0)); }

constexpr Builtin kFilters[] = {{"sort", sort_filter, 0, "reverse case_sensitive attribute"},
                                {"dictsort", dictsort_filter, 0, "case_sensitive by reverse"},
                                {"min", extreme_filter, 0, "case_sensitive attribute"},
                                {"max", extreme_filter, 0, "case_sensitive attribute"},
                                {"unique", unique_filter, 0, "case_sensitive attribute"},
                                {"groupby", groupby_filter, 1, "attribute default case_sensitive"},
                                {"sum", sum_filter, 0, "attribute start"},
                                {"first", first_filter, 0, ""},
                                {"last", first_filter, 0, ""},
                                {"reverse", reverse_filter, 0, ""},
                                {"list", list_filter, 0, ""},
                                {"length", length_filter, 0, ""},
                                {"count", length_filter, 0, ""},
                                {"items", items_filter, 0, ""},
                                {"join", join_filter, 0, "d attribute"},
                                {"batch", batch_filter, 1, "linecount fill_with"},
                                {"slice", slice_filter, 1, "slices fill_with"},
                                {"select", select_filter, 0, "*"},
                                {"reject", select_filter, 0, "*"},
                                {"selectattr", select_filter, 0, "*"},
                                {"rejectattr", select_filter, 0, "*"},
                                {"map", map_filter, 0, "*"},
                                {"attr", attr_filter, 1, "name"}};

}  // namespace

std::span<const Builtin> list_filters() { return kFilters; }

}  // namespace athanor::jinja
