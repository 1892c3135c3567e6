// Log lines for people, on standard error. Ranks other than 0 print warnings only.
#pragma once

#include <string>

namespace athanor {

void set_log_rank(int rank, int world_size);
int log_rank();  // of this thread
void log_info(const std::string& message);
void log_warning(const std::string& message);
void log_error(const std::string& message);

// A line that stays below the log on a terminal and is drawn over and over, cut to its width. Off
// until somebody who knows that standard error is a terminal allows it; then text that is not
// empty, a line without control characters, is shown until "" takes it away.
void allow_status_line();
bool has_status_line();
void set_status_line(const std::string& text);

}  // namespace athanor
