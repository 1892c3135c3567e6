#include "sharding/schedule.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <set>
#include <tuple>
#include <vector>

namespace athanor {
namespace {

// Embedding, two blocks, head; tied: the head is the embedding unit's second use.
std::vector<ChainPosition> chain(bool tied) {
  return tied ? std::vector<ChainPosition>{{0, 0}, {1, 0}, {2, 0}, {0, 1}}
              : std::vector<ChainPosition>{{0, 0}, {1, 0}, {2, 0}, {3, 0}};
}

int num_units(bool tied) { return tied ? 3 : 4; }

// All combinations that a step can have, absent tails and empty ranks among them.
template <class Body>
void for_all_inputs(const Body& body) {
  for (const bool tied : {false, true})
    for (const int first_backward : {0, 1})
      for (const ScheduleOrder order : {ScheduleOrder::kBatchMajor, ScheduleOrder::kLayerMajor})
        for (const bool recompute : {false, true})
          for (const int world : {1, 2, 3, 4})
            for (const int lanes : {1, 2, 3, 4, 8})
              for (const int64_t micro_batches : {1, 2, 3, 5, 8, 13}) {
                if (lanes < world) continue;
                ScheduleInput input;
                input.chain = chain(tied);
                input.first_backward = first_backward;
                input.lanes = {micro_batches, lanes, world};
                input.order = order;
                input.recompute = recompute;
                body(input);
              }
}

bool trains(const Visit& visit) {
  return visit.pass == Pass::kLoss || visit.pass == Pass::kBackward;
}

TEST(LanePlan, LanesAreContiguousAndCoverTheStepOnce) {
  for_all_inputs([](const ScheduleInput& input) {
    const LanePlan& plan = input.lanes;
    int64_t next = 0;
    int ranks_with_work = 0;
    for (int rank = 0; rank < plan.world_size; ++rank) {
      bool works = false;
      for (int64_t slot = 0; slot < plan.slots(); ++slot) {
        const int64_t index = plan.micro_batch(rank, slot);
        if (index == kAbsent) continue;
        works = true;
        ASSERT_EQ(index, next);  // by rank, then by slot: ascending without gaps
        ++next;
      }
      ranks_with_work += works ? 1 : 0;
      ASSERT_TRUE(!works || ranks_with_work == rank + 1) << "an empty rank before a full one";
    }
    ASSERT_EQ(next, plan.micro_batches);
    ASSERT_EQ(ranks_with_work, plan.present_ranks());
    ASSERT_EQ(plan.present_lanes(), (plan.micro_batches - 1) / plan.per_lane() + 1);
  });
}

TEST(LanePlan, ByHand) {
  // Five micro-batches in four lanes on two ranks: 0 1 | 2 3 and 4 | nothing.
  const LanePlan plan{5, 4, 2};
  EXPECT_EQ(plan.per_lane(), 2);
  EXPECT_EQ(plan.lanes_per_rank(), 2);
  EXPECT_EQ(plan.slots(), 4);
  EXPECT_EQ(plan.present_lanes(), 3);
  EXPECT_EQ(plan.present_ranks(), 2);
  EXPECT_EQ(plan.micro_batch(0, 3), 3);
  EXPECT_EQ(plan.micro_batch(1, 0), 4);
  EXPECT_EQ(plan.micro_batch(1, 1), kAbsent);
  EXPECT_EQ(plan.micro_batch(1, 2), kAbsent);
  EXPECT_EQ(plan.lane_buffers(), 2);
}

TEST(LanePlan, HoldsAsManyBuffersAsTheTreeIsDeep) {
  EXPECT_EQ((LanePlan{8, 1, 1}.lane_buffers()), 1);
  EXPECT_EQ((LanePlan{8, 2, 1}.lane_buffers()), 2);
  EXPECT_EQ((LanePlan{8, 4, 1}.lane_buffers()), 3);
  EXPECT_EQ((LanePlan{8, 8, 1}.lane_buffers()), 4);
  EXPECT_EQ((LanePlan{8, 8, 4}.lane_buffers()), 2);
  EXPECT_EQ((LanePlan{8, 8, 8}.lane_buffers()), 1);
}

TEST(Schedule, RanksDifferOnlyInWhichMicroBatch) {
  for_all_inputs([](ScheduleInput input) {
    const std::vector<Visit> first = build_train_schedule(input);
    for (int rank = 1; rank < input.lanes.world_size; ++rank) {
      input.rank = rank;
      const std::vector<Visit> other = build_train_schedule(input);
      ASSERT_EQ(other.size(), first.size());
      for (size_t i = 0; i < first.size(); ++i) {
        // What decides the collectives is the same everywhere.
        ASSERT_EQ(other[i].unit, first[i].unit);
        ASSERT_EQ(other[i].use, first[i].use);
        ASSERT_EQ(other[i].slot, first[i].slot);
        ASSERT_EQ(other[i].pass, first[i].pass);
        ASSERT_EQ(other[i].lease_begins, first[i].lease_begins);
        ASSERT_EQ(other[i].lease_ends, first[i].lease_ends);
        ASSERT_EQ(other[i].reduce, first[i].reduce);
        ASSERT_EQ(other[i].reduced_before, first[i].reduced_before);
        ASSERT_EQ(other[i].present_ranks, first[i].present_ranks);
      }
    }
  });
}

TEST(Schedule, EveryPositionAndSlotForwardOnceAndBackwardOnce) {
  for_all_inputs([](const ScheduleInput& input) {
    std::map<std::tuple<int, int, Pass>, size_t> at;  // (position, slot, pass) -> place in the list
    const std::vector<Visit> visits = build_train_schedule(input);
    for (size_t i = 0; i < visits.size(); ++i) {
      const auto key = std::tuple(visits[i].position, visits[i].slot, visits[i].pass);
      ASSERT_TRUE(at.emplace(key, i).second) << "twice";
    }
    const int head = static_cast<int>(input.chain.size()) - 1;
    size_t expected = 0;
    for (int slot = 0; slot < input.lanes.slots(); ++slot) {
      for (int position = 0; position < head; ++position) {
        const bool backward = position >= input.first_backward;
        const bool again = backward && input.recompute && position > 0;
        ASSERT_TRUE(at.contains({position, slot, Pass::kForward}));
        ASSERT_EQ(at.contains({position, slot, Pass::kBackward}), backward);
        ASSERT_EQ(at.contains({position, slot, Pass::kRecompute}), again);
        expected += 1u + (backward ? 1u : 0u) + (again ? 1u : 0u);
        if (position > 0) {
          ASSERT_LT(at[std::tuple(position - 1, slot, Pass::kForward)],
                    at[std::tuple(position, slot, Pass::kForward)]);
        }
        if (!backward) continue;
        ASSERT_LT(at[std::tuple(head, slot, Pass::kLoss)],
                  at[std::tuple(position, slot, Pass::kBackward)]);
        if (position + 1 < head) {
          ASSERT_LT(at[std::tuple(position + 1, slot, Pass::kBackward)],
                    at[std::tuple(position, slot, Pass::kBackward)]);
        }
        if (again) {  // directly before, so that one set of activations is enough
          ASSERT_EQ(at[std::tuple(position, slot, Pass::kRecompute)] + 1,
                    at[std::tuple(position, slot, Pass::kBackward)]);
        }
      }
      ASSERT_TRUE(at.contains({head, slot, Pass::kLoss}));
      ++expected;
    }
    ASSERT_EQ(visits.size(), expected);
  });
}

TEST(Schedule, LeasesCoverTheListWithoutOverlap) {
  for_all_inputs([](const ScheduleInput& input) {
    for (const std::vector<Visit>& visits :
         {build_train_schedule(input), build_evaluate_schedule(input)}) {
      int leased = -1;
      for (const Visit& visit : visits) {
        ASSERT_EQ(visit.lease_begins, leased == -1);
        if (visit.lease_begins) leased = visit.unit;
        ASSERT_EQ(leased, visit.unit);
        if (visit.lease_ends) leased = -1;
      }
      ASSERT_EQ(leased, -1);
    }
  });
}

TEST(Schedule, LanesBeginAndEndOnceForEachUse) {
  for_all_inputs([](ScheduleInput input) {
    for (int rank = 0; rank < input.lanes.world_size; ++rank) {
      input.rank = rank;
      std::map<std::tuple<int, int>, int> open;                   // (unit, use) -> lane
      std::map<std::tuple<int, int>, std::vector<int>> finished;  // lanes, in order
      for (const Visit& visit : build_train_schedule(input)) {
        const auto key = std::tuple(visit.unit, visit.use);
        if (!trains(visit) || visit.micro_batch == kAbsent) {
          ASSERT_FALSE(visit.lane_begins || visit.lane_ends);
          continue;
        }
        if (visit.lane_begins) {
          ASSERT_FALSE(open.contains(key));
          open[key] = visit.lane;
        }
        ASSERT_TRUE(open.contains(key) && open[key] == visit.lane);
        if (visit.lane_ends) {
          finished[key].push_back(visit.lane);
          open.erase(key);
        }
      }
      ASSERT_TRUE(open.empty());
      // This rank's lanes that have a micro-batch, ascending.
      std::vector<int> expected;
      const int per_rank = input.lanes.lanes_per_rank();
      for (int lane = rank * per_rank; lane < (rank + 1) * per_rank; ++lane) {
        if (lane < input.lanes.present_lanes()) expected.push_back(lane);
      }
      for (const auto& [key, lanes] : finished) ASSERT_EQ(lanes, expected);
      ASSERT_EQ(finished.empty(), expected.empty());
    }
  });
}

TEST(Schedule, ReducesEachUseOnceAfterItsLastContribution) {
  for_all_inputs([](ScheduleInput input) {
    for (int rank = 0; rank < input.lanes.world_size; ++rank) {
      input.rank = rank;
      std::map<std::tuple<int, int>, int> reduced;
      for (const Visit& visit : build_train_schedule(input)) {
        const auto key = std::tuple(visit.unit, visit.use);
        if (trains(visit)) {
          ASSERT_EQ(reduced[key], 0) << "a contribution after the reduction";
        }
        if (visit.reduce) {
          ASSERT_TRUE(trains(visit));
          ++reduced[key];
        }
      }
      for (size_t position = 0; position < input.chain.size(); ++position) {
        const ChainPosition& link = input.chain[position];
        const bool contributes = static_cast<int>(position) >= input.first_backward;
        ASSERT_EQ(reduced[std::tuple(link.unit, link.use)], contributes ? 1 : 0);
      }
    }
  });
}

// Reduction i of a use comes after the i-th micro-batches of all of the rank's lanes and before any
// later one; the ranks it counts are those that have an i-th micro-batch.
TEST(Schedule, MicroStepsReduceOnceForEachIndexWithinALane) {
  for_all_inputs([](ScheduleInput input) {
    input.reduce = ReduceMode::kMicroStep;
    const LanePlan& plan = input.lanes;
    for (int rank = 0; rank < plan.world_size; ++rank) {
      input.rank = rank;
      std::map<std::tuple<int, int>, std::vector<int64_t>> open;  // micro-batches not yet reduced
      std::map<std::tuple<int, int>, int64_t> reduced;
      for (const Visit& visit : build_train_schedule(input)) {
        if (!trains(visit)) continue;
        const auto key = std::tuple(visit.unit, visit.use);
        ASSERT_EQ(visit.slot % plan.per_lane(), reduced[key]);
        ASSERT_EQ(visit.reduced_before, reduced[key] > 0);
        if (visit.micro_batch != kAbsent) {
          ASSERT_TRUE(visit.lane_begins && visit.lane_ends);
          open[key].push_back(visit.micro_batch);
        }
        if (!visit.reduce) continue;
        int64_t present = 0;
        for (int other = 0; other < plan.world_size; ++other) {
          bool works = false;
          for (int64_t lane = 0; lane < plan.lanes_per_rank(); ++lane) {
            const int64_t index = plan.micro_batch(other, lane * plan.per_lane() + reduced[key]);
            works = works || index != kAbsent;
            if (other == rank && index != kAbsent) {
              ASSERT_FALSE(open[key].empty());
              ASSERT_EQ(open[key].front(), index);
              open[key].erase(open[key].begin());
            }
          }
          present += works ? 1 : 0;
        }
        ASSERT_EQ(visit.present_ranks, present);
        ASSERT_TRUE(open[key].empty());
        ++reduced[key];
      }
      for (const auto& [key, count] : reduced) ASSERT_EQ(count, plan.per_lane());
    }
  });
}

TEST(Schedule, InputsDieAtTheirLastRead) {
  for_all_inputs([](const ScheduleInput& input) {
    std::set<std::tuple<int, int>> dead;
    for (const Visit& visit : build_train_schedule(input)) {
      ASSERT_FALSE(dead.contains({visit.position, visit.slot}));
      if (visit.input_dies) dead.insert({visit.position, visit.slot});
    }
    ASSERT_EQ(dead.size(), input.chain.size() * static_cast<size_t>(input.lanes.slots()));
  });
}

TEST(Schedule, LayerMajorGathersAtMostTwiceAUseWhateverTheAccumulation) {
  for_all_inputs([](const ScheduleInput& input) {
    if (input.order != ScheduleOrder::kLayerMajor) return;
    const bool tied = input.chain.back().unit == 0;
    const std::vector<bool> sharded(static_cast<size_t>(num_units(tied)), true);
    const std::vector<int64_t> gathers = gathers_per_unit(build_train_schedule(input), sharded, 2);
    for (size_t unit = 0; unit < gathers.size(); ++unit) {
      const int uses = tied && unit == 0 ? 2 : 1;
      ASSERT_GE(gathers[unit], 1);
      ASSERT_LE(gathers[unit], 2 * uses);
    }
  });
}

TEST(Schedule, GathersByHand) {
  const std::vector<bool> all(4, true);
  ScheduleInput input;
  input.chain = chain(false);
  input.lanes = {4, 1, 1};
  // Full, batch-major, a micro-batch visits E 1 2 H 2 1 E; the next one starts with E. Two slots:
  //   first:  E+ 1+ 2+ H+ 2  1+ E+     later: E 1 2+ H+ 2 1+ E+
  EXPECT_EQ(gathers_per_unit(build_train_schedule(input), all, 2),
            (std::vector<int64_t>{2 + 3, 2 + 3, 1 + 3, 1 + 3}));
  // Adapters only: E 1 2 H 2 1, then the next one.  first: E+ 1+ 2+ H+ 2 1+, later: E+ 1 2+ H+ 2 1+
  input.first_backward = 1;
  EXPECT_EQ(gathers_per_unit(build_train_schedule(input), all, 2),
            (std::vector<int64_t>{1 + 3, 2 + 3, 1 + 3, 1 + 3}));
  // Layer-major, full: E 1 2 H 2 1 E once each, whatever the accumulation.
  input.first_backward = 0;
  input.order = ScheduleOrder::kLayerMajor;
  EXPECT_EQ(gathers_per_unit(build_train_schedule(input), all, 2),
            (std::vector<int64_t>{2, 2, 1, 1}));
  // Tied: E 1 2 E' 2 1 E.  E+ 1+ 2+ E+ 2 1+ E+
  input.chain = chain(true);
  EXPECT_EQ(gathers_per_unit(build_train_schedule(input), {true, true, true}, 2),
            (std::vector<int64_t>{3, 2, 1}));
  // A replicated unit is never gathered and takes no slot: E, then 1 2 H fit as H 2 1 need them.
  input.chain = chain(false);
  EXPECT_EQ(gathers_per_unit(build_train_schedule(input), {false, true, true, false}, 2),
            (std::vector<int64_t>{0, 1, 1, 0}));
}

TEST(Schedule, EvaluationVisitsEverythingOnceInOrder) {
  for_all_inputs([](const ScheduleInput& input) {
    const std::vector<Visit> visits = build_evaluate_schedule(input);
    const size_t length = input.chain.size();
    ASSERT_EQ(visits.size(), length * static_cast<size_t>(input.lanes.slots()));
    for (size_t i = 0; i < visits.size(); ++i) {
      ASSERT_EQ(visits[i].pass, Pass::kEvaluate);
      ASSERT_EQ(visits[i].position, static_cast<int>(i % length));
      ASSERT_EQ(visits[i].slot, static_cast<int>(i / length));
      ASSERT_FALSE(visits[i].reduce || visits[i].lane_begins || visits[i].lane_ends);
    }
  });
}

}  // namespace
}  // namespace athanor
