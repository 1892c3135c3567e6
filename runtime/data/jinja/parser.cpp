// Tokens to the tree: tags and text. Tags and syntax that this interpreter lacks are refused here,
// by name and line.
#include <algorithm>

#include "runtime/data/jinja/expression_parser.h"

namespace athanor::jinja {
namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Body run() {
    Body body = statements({});
    if (now().kind != TokenKind::kEnd) fail("unexpected tag " + in_quotes(now().text));
    return body;
  }

 private:
  Body statements(const std::vector<std::string_view>& ends) {
    const Nested nested(*this);
    Body body;
    while (now().kind != TokenKind::kEnd) {
      Stmt stmt;
      stmt.line = now().line;
      if (now().kind == TokenKind::kData) {
        stmt.text = take().text;
      } else if (now().kind == TokenKind::kPrintBegin) {
        take();
        stmt.kind = StmtKind::kPrint;
        stmt.exprs.push_back(tuple());
        expect(TokenKind::kPrintEnd, "the end of {{ }}");
      } else {
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) {
              return ahead().kind == TokenKind::kName && ahead().text == end;
            })) {
          return body;
        }
        take();
        stmt = statement();
        expect(TokenKind::kTagEnd, "the end of the tag");
      }
      body.push_back(std::move(stmt));
    }
    if (!ends.empty())
      fail("the template ends before " + in_quotes("{% " + std::string(ends.back()) + " %}"));
    return body;
  }

  // The body of a tag and the name that ends it; the parser is then behind that name.
  std::string block(Body& body, const std::vector<std::string_view>& ends) {
    skip_op(":");
    expect(TokenKind::kTagEnd, "the end of the tag");
    body = statements(ends);
    take();
    return expect_name();
  }

  Stmt statement() {
    Stmt stmt;
    stmt.line = now().line;
    const std::string tag = expect_name();
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fail(in_quotes(tag) + " outside of a loop");
      stmt.kind = tag == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    } else if (tag == "if") {
      if_tag(stmt);
    } else if (tag == "for") {
      for_tag(stmt);
    } else if (tag == "set") {
      set_tag(stmt);
    } else if (tag == "macro") {
      stmt.kind = StmtKind::kMacro;
      stmt.text = expect_name();
      signature(stmt);
      macro_body(stmt, "endmacro");
    } else if (tag == "call") {
      stmt.kind = StmtKind::kCall;
      stmt.exprs.push_back(nullptr);
      if (is_op("(")) signature(stmt);
      stmt.exprs[0] = expression();
      if (stmt.exprs[0]->kind != ExprKind::kCall) fail("expected a call");
      macro_body(stmt, "endcall");
    } else if (tag == "filter") {
      stmt.kind = StmtKind::kFilter;
      stmt.exprs.push_back(filters(nullptr, true));
      block(stmt.body, {"endfilter"});
    } else if (tag == "with") {
      with_tag(stmt);
    } else if (tag == "generation") {
      stmt.kind = StmtKind::kGeneration;
      const int loops = std::exchange(loops_, 0);
      block(stmt.body, {"endgeneration"});
      loops_ = loops;
    } else {
      fail("the tag " + in_quotes(tag) + " is not supported");
    }
    return stmt;
  }

  void if_tag(Stmt& stmt) {
    const Nested nested(*this);
    stmt.kind = StmtKind::kIf;
    stmt.exprs.push_back(tuple(false));
    const std::string end = block(stmt.body, {"elif", "else", "endif"});
    if (end == "elif") {
      Stmt next;
      next.line = now().line;
      if_tag(next);
      stmt.otherwise.push_back(std::move(next));
    } else if (end == "else") {
      block(stmt.otherwise, {"endif"});
    }
  }

  void for_tag(Stmt& stmt) {
    stmt.kind = StmtKind::kFor;
    stmt.exprs.push_back(target("in", false));
    if (!skip_name("in")) fail("expected 'in'");
    stmt.exprs.push_back(tuple(false, "recursive"));
    stmt.exprs.push_back(skip_name("if") ? expression() : nullptr);
    stmt.recursive = skip_name("recursive");
    ++loops_;
    const std::string end = block(stmt.body, {"else", "endfor"});
    --loops_;
    if (end == "else") block(stmt.otherwise, {"endfor"});
  }

  void set_tag(Stmt& stmt) {
    stmt.exprs.push_back(target("", true));
    if (skip_op("=")) {
      stmt.kind = StmtKind::kSet;
      stmt.exprs.push_back(tuple());
      return;
    }
    stmt.kind = StmtKind::kSetBlock;
    stmt.exprs.push_back(is_op("|") ? filters(nullptr, false) : nullptr);
    const int loops = std::exchange(loops_, 0);
    block(stmt.body, {"endset"});
    loops_ = loops;
  }

  void with_tag(Stmt& stmt) {
    stmt.kind = StmtKind::kWith;
    while (now().kind != TokenKind::kTagEnd) {
      if (!stmt.exprs.empty()) expect_op(",");
      stmt.exprs.push_back(target("", false));
      expect_op("=");
      stmt.exprs.push_back(expression());
    }
    block(stmt.body, {"endwith"});
  }

  void signature(Stmt& stmt) {
    expect_op("(");
    const size_t before = stmt.exprs.size();
    while (!is_op(")")) {
      if (!stmt.parameters.empty()) expect_op(",");
      stmt.parameters.push_back(expect_name());
      const std::string& name = stmt.parameters.back();
      if (name == "caller" || name == "varargs" || name == "kwargs") {
        fail("the parameter name " + in_quotes(name) + " is not supported");
      }
      if (skip_op("=")) {
        stmt.exprs.push_back(expression());
      } else if (stmt.exprs.size() > before) {
        fail("a parameter without default follows one with a default");
      }
    }
    expect_op(")");
  }

  void macro_body(Stmt& stmt, const char* end) {
    const int loops = std::exchange(loops_, 0);
    const bool caller = std::exchange(saw_caller_, false);
    const bool varargs = std::exchange(saw_varargs_, false);
    const bool kwargs = std::exchange(saw_kwargs_, false);
    block(stmt.body, {end});
    stmt.uses_caller = saw_caller_;
    stmt.uses_varargs = saw_varargs_;
    stmt.uses_kwargs = saw_kwargs_;
    saw_caller_ = caller || saw_caller_;
    saw_varargs_ = varargs || saw_varargs_;
    saw_kwargs_ = kwargs || saw_kwargs_;
    loops_ = loops;
  }

  ExprPtr target(std::string_view end, bool fields) {
    ExprPtr first = target_item(fields);
    if (!is_op(",")) return first;
    ExprPtr all = make(ExprKind::kTuple, first->line);
    all->children.push_back(std::move(first));
    while (skip_op(",")) {
      if (is_op("=") || (!end.empty() && is_name(end)) || now().kind == TokenKind::kTagEnd) break;
      all->children.push_back(target_item(fields));
    }
    return done(std::move(all));
  }
  ExprPtr target_item(bool fields) {
    const Nested nested(*this);
    if (skip_op("(")) {
      ExprPtr inner = target("", fields);
      expect_op(")");
      return inner;
    }
    ExprPtr item = make(ExprKind::kName, now().line);
    item->name = expect_name();
    static constexpr std::string_view kTaken[] = {"true", "false", "none", "True", "False", "None"};
    if (std::find(std::begin(kTaken), std::end(kTaken), item->name) != std::end(kTaken)) {
      fail("cannot assign to " + item->name);
    }
    if (loops_ > 0 && item->name == "loop") fail("cannot assign to loop inside a loop");
    if (fields && skip_op(".")) {
      item->kind = ExprKind::kNamespaceField;
      item->names.push_back(expect_name());
    }
    return item;
  }
};

}  // namespace

Body parse(std::string_view source, const std::string& name) {
  return Parser(tokenize(source, name), name).run();
}

}  // namespace athanor::jinja
