// Log lines for people, on standard error. Ranks other than 0 print warnings only.
#pragma once

#include <string>

namespace athanor {

void set_log_rank(int rank, int world_size);
int log_rank();  // of this thread
void log_info(const std::string& message);
void log_warning(const std::string& message);
void log_error(const std::string& message);

}  // namespace athanor
