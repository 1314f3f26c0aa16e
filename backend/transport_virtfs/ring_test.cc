#include "backend/transport_virtfs/ring.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "backend/transport/guest_copy.h"

namespace virtfs::backend {
namespace {

constexpr uint32_t kSlots = XEN_VIRTFS_SLOTS_PER_PAGE;
constexpr uint16_t kMore = XEN_VIRTFSF_MORE;

// The frontend's side, by the book, on the same plain memory.
class Guest {
 public:
  explicit Guest(uint32_t page_order = 0)
      : page_order_(page_order), memory_(new (std::align_val_t(4096)) uint8_t[size_t{4096} << page_order]) {
    std::memset(memory_, 0, size_t{4096} << page_order);
    Word(kReqEvent).store(1);
    Word(kRspEvent).store(1);
  }
  ~Guest() { operator delete[](memory_, std::align_val_t(4096)); }

  static constexpr uint32_t kReqProd = 0, kReqEvent = 4, kRspProd = 8, kRspEvent = 12;

  std::atomic_ref<uint32_t> Word(uint32_t offset) {
    return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(memory_ + offset));
  }
  uint32_t SlotOffset(uint32_t index) const { return 64 + 12 * (index % (kSlots << page_order_)); }

  void Write(uint32_t index, const Slot& slot) {
    uint32_t words[3];
    std::memcpy(words, &slot, sizeof(slot));
    for (uint32_t i = 0; i < 3; ++i) Word(SlotOffset(index) + 4 * i).store(words[i], std::memory_order_relaxed);
  }

  // Publishes a chain of `length` slots with ids from `id` on. True: the backend wants an event.
  bool Publish(uint32_t length, uint16_t id = 0) {
    const uint32_t old = prod_;
    for (uint32_t i = 0; i < length; ++i) {
      Write(prod_++, {.gref = 7,
                      .offset = 0,
                      .flags = i + 1 < length ? kMore : uint16_t{0},
                      .id = static_cast<uint16_t>(id + i),
                      .size = 0});
    }
    Word(kReqProd).store(prod_);
    return prod_ - Word(kReqEvent).load() < prod_ - old;
  }

  // Starts with all indices at `index`, as after that many slots.
  void StartAt(uint32_t index) {
    prod_ = cons_ = index;
    Word(kReqProd).store(index);
    Word(kRspProd).store(index);
    Word(kReqEvent).store(index + 1);
    Word(kRspEvent).store(index + 1);
  }

  // The responses there are; asks for an event with the next.
  std::vector<xen_virtfsif_response> TakeResponses() {
    std::vector<xen_virtfsif_response> responses;
    do {
      const uint32_t prod = Word(kRspProd).load();
      while (cons_ != prod) {
        responses.push_back(std::bit_cast<xen_virtfsif_response>(Word(SlotOffset(cons_++)).load()));
      }
      Word(kRspEvent).store(cons_ + 1);
    } while (Word(kRspProd).load() != cons_);
    return responses;
  }

  void* memory() { return memory_; }
  uint32_t prod_ = 0;
  uint32_t cons_ = 0;

 private:
  const uint32_t page_order_;
  uint8_t* const memory_;
};

std::vector<uint16_t> Ids(const std::vector<Slot>& chain) {
  std::vector<uint16_t> ids;
  ids.reserve(chain.size());
  for (const Slot& slot : chain) ids.push_back(slot.id);
  return ids;
}

TEST(Ring, HasAsManySlotsAsFit) {
  for (uint32_t order = 0; order <= XEN_VIRTFS_MAX_RING_PAGE_ORDER; ++order) {
    Guest guest(order);
    EXPECT_EQ(Ring(guest.memory(), order, 252).slots(), kSlots << order);
  }
}

TEST(Ring, ChainsOfEveryLengthComeWhole) {
  Guest guest;
  Ring ring(guest.memory(), 0, 252);
  std::vector<Slot> chain;
  EXPECT_EQ(ring.Take(chain), Ring::Taken::kNothing);
  for (uint16_t length = 1; length <= 252; ++length) {
    guest.Publish(length, static_cast<uint16_t>(1000 * length));
    ASSERT_TRUE(ring.Waiting());
    ASSERT_EQ(ring.Take(chain), Ring::Taken::kChain);
    ASSERT_EQ(chain.size(), length);
    ASSERT_FALSE(ring.Waiting());
    (void)ring.Respond(Ids(chain), -3);
    const auto responses = guest.TakeResponses();
    ASSERT_EQ(responses.size(), length);
    for (uint16_t i = 0; i < length; ++i) {
      EXPECT_EQ(responses[i].id, static_cast<uint16_t>(1000 * length + i));
      EXPECT_EQ(responses[i].status, -3);
    }
  }
}

TEST(Ring, MultiPageRingsAreOneArray) {
  Guest guest(2);
  Ring ring(guest.memory(), 2, 1000);
  std::vector<Slot> chain;
  for (int round = 0; round < 10; ++round) {
    guest.Publish(777, static_cast<uint16_t>(round));
    ASSERT_EQ(ring.Take(chain), Ring::Taken::kChain);
    ASSERT_EQ(chain.size(), 777u);
    (void)ring.Respond(Ids(chain), 0);
    ASSERT_EQ(guest.TakeResponses().size(), 777u);
  }
}

TEST(Ring, ResponsesMayOverwriteOtherChainsSlots) {
  Guest guest;
  Ring ring(guest.memory(), 0, 252);
  std::vector<Slot> first, second;
  guest.Publish(100, 0);
  guest.Publish(100, 500);
  ASSERT_EQ(ring.Take(first), Ring::Taken::kChain);
  ASSERT_EQ(ring.Take(second), Ring::Taken::kChain);
  (void)ring.Respond(Ids(second), 0);
  (void)ring.Respond(Ids(first), 0);
  const auto responses = guest.TakeResponses();
  ASSERT_EQ(responses.size(), 200u);
  EXPECT_EQ(responses[0].id, 500);
  EXPECT_EQ(responses[100].id, 0);
}

TEST(Ring, BothIndicesWrapAround) {
  Guest guest;
  guest.StartAt(UINT32_MAX - 300);
  Ring ring(guest.memory(), 0, 252);
  ring.StartAtForTest(UINT32_MAX - 300);
  std::vector<Slot> chain;
  uint16_t id = 0;
  for (int round = 0; round < 40; ++round) {
    guest.Publish(100, id);
    guest.Publish(56, static_cast<uint16_t>(id + 100));
    for (size_t length : {100u, 56u}) {
      ASSERT_EQ(ring.Take(chain), Ring::Taken::kChain) << round;
      ASSERT_EQ(chain.size(), length);
      ASSERT_EQ(chain[0].id, id);
      id = static_cast<uint16_t>(id + length);
      (void)ring.Respond(Ids(chain), 0);
    }
    ASSERT_EQ(guest.TakeResponses().size(), 156u);
  }
  EXPECT_EQ(ring.Take(chain), Ring::Taken::kNothing);
}

TEST(Ring, AFullRingIsServed) {
  Guest guest;
  Ring ring(guest.memory(), 0, 252);
  std::vector<Slot> chain;
  for (int i = 0; i < 128; ++i) guest.Publish(2);
  for (int i = 0; i < 128; ++i) ASSERT_EQ(ring.Take(chain), Ring::Taken::kChain);
  EXPECT_EQ(ring.Take(chain), Ring::Taken::kNothing);
  guest.Publish(1);
  EXPECT_EQ(ring.Take(chain), Ring::Taken::kFault);
  EXPECT_EQ(ring.fault(), RingFault::kOverflow);
}

struct FaultCase {
  const char* name;
  void (*provoke)(Guest&);
  RingFault fault;
  int chains_before;
};

TEST(Ring, FaultsAreFoundAndStay) {
  const FaultCase cases[] = {
      {"one slot too many", [](Guest& guest) { guest.Word(Guest::kReqProd).store(kSlots + 1); }, RingFault::kOverflow,
       0},
      {"all bits", [](Guest& guest) { guest.Word(Guest::kReqProd).store(UINT32_MAX); }, RingFault::kOverflow, 0},
      {"backwards",
       [](Guest& guest) {
         guest.Publish(1);
         guest.Publish(1);
       },
       RingFault::kNone, 2},
      {"MORE in the last slot",
       [](Guest& guest) {
         guest.Publish(2);
         guest.Write(guest.prod_, {.gref = 0, .offset = 0, .flags = kMore, .id = 0, .size = 0});
         guest.Word(Guest::kReqProd).store(guest.prod_ + 1);
       },
       RingFault::kPartialChain, 1},
      {"a whole ring of MORE",
       [](Guest& guest) {
         for (uint32_t i = 0; i < kSlots; ++i)
           guest.Write(i, {.gref = 0, .offset = 0, .flags = kMore, .id = 0, .size = 0});
         guest.Word(Guest::kReqProd).store(kSlots);
       },
       RingFault::kLongChain, 0},
      {"one slot too long", [](Guest& guest) { guest.Publish(253); }, RingFault::kLongChain, 0},
  };
  for (const FaultCase& test : cases) {
    SCOPED_TRACE(test.name);
    Guest guest;
    Ring ring(guest.memory(), 0, 252);
    test.provoke(guest);
    std::vector<Slot> chain;
    for (int i = 0; i < test.chains_before; ++i) EXPECT_EQ(ring.Take(chain), Ring::Taken::kChain);
    if (test.fault == RingFault::kNone) {
      // Back to what has been taken already, which has not been answered.
      guest.Word(Guest::kReqProd).store(1);
      EXPECT_EQ(ring.Take(chain), Ring::Taken::kFault);
      EXPECT_EQ(ring.fault(), RingFault::kOverflow);
      continue;
    }
    EXPECT_EQ(ring.Take(chain), Ring::Taken::kFault);
    EXPECT_EQ(ring.fault(), test.fault);
    EXPECT_STRNE(Describe(ring.fault()), Describe(RingFault::kNone));
    guest.Word(Guest::kReqProd).store(0);
    EXPECT_EQ(ring.Take(chain), Ring::Taken::kFault);
  }
}

TEST(Ring, MoreSlotsThanUnansweredOnesLeaveIsAFault) {
  Guest guest;
  Ring ring(guest.memory(), 0, 252);
  std::vector<Slot> chain;
  guest.Publish(200);
  ASSERT_EQ(ring.Take(chain), Ring::Taken::kChain);
  guest.Publish(57);  // 257 unanswered
  EXPECT_EQ(ring.Take(chain), Ring::Taken::kFault);
}

TEST(Ring, EventsAreAskedForOnlyWhenWanted) {
  Guest guest;
  Ring ring(guest.memory(), 0, 252);
  std::vector<Slot> chain;
  EXPECT_TRUE(ring.Sleepable());
  EXPECT_TRUE(guest.Publish(1));   // the first is wanted
  EXPECT_FALSE(guest.Publish(1));  // one event was enough
  EXPECT_FALSE(ring.Sleepable());
  ASSERT_EQ(ring.Take(chain), Ring::Taken::kChain);
  ring.Busy();
  EXPECT_FALSE(guest.Publish(1));
  ASSERT_EQ(ring.Take(chain), Ring::Taken::kChain);
  ASSERT_EQ(ring.Take(chain), Ring::Taken::kChain);
  EXPECT_TRUE(ring.Sleepable());
  EXPECT_TRUE(guest.Publish(1));

  // The other way round.
  const uint16_t id[] = {0};
  guest.TakeResponses();
  EXPECT_TRUE(ring.Respond(id, 0));
  EXPECT_FALSE(ring.Respond(id, 0));
  guest.TakeResponses();
  EXPECT_TRUE(ring.Respond(id, 0));
}

// Both sides sleep whenever they may. If either lost a wake-up this would not end.
TEST(Ring, NoWakeUpIsLost) {
  constexpr uint32_t kChains = 100'000;
  Guest guest;
  Ring ring(guest.memory(), 0, 252);
  std::atomic<uint32_t> backend_event = 0, frontend_event = 0;
  const auto wait = [](std::atomic<uint32_t>& event) {
    event.wait(0);
    event.store(0);
  };
  const auto raise = [](std::atomic<uint32_t>& event) {
    event.store(1);
    event.notify_one();
  };

  std::thread backend([&] {
    std::vector<Slot> chain;
    for (uint32_t done = 0; done < kChains;) {
      const Ring::Taken taken = ring.Take(chain);
      ASSERT_NE(taken, Ring::Taken::kFault);
      if (taken == Ring::Taken::kNothing) {
        if (ring.Sleepable()) wait(backend_event);
        continue;
      }
      ++done;
      if (ring.Respond(Ids(chain), 0)) raise(frontend_event);
    }
  });
  for (uint32_t sent = 0, received = 0; received < 2 * kChains;) {
    for (; sent < kChains && guest.prod_ - guest.cons_ <= kSlots - 2; ++sent) {
      if (guest.Publish(2)) raise(backend_event);
    }
    const size_t responses = guest.TakeResponses().size();
    if (responses == 0) wait(frontend_event);
    received += static_cast<uint32_t>(responses);
  }
  backend.join();
}

// A guest that writes anything anywhere, any time.
TEST(Ring, AHostileWriterNeverGetsMoreThanAFault) {
  Guest guest;
  std::atomic<bool> stop = false;
  std::thread hostile([&] {
    std::mt19937 random(1);
    while (!stop.load(std::memory_order_relaxed)) {
      const uint32_t offset = random() % 3 == 0 ? random() % 4 * 4 : random() % 1024 * 4;
      const uint32_t value = random() % 2 == 0 ? random() : guest.Word(Guest::kReqProd).load() + random() % 4;
      guest.Word(offset).store(value, std::memory_order_relaxed);
    }
  });
  int faults = 0;
  int chains = 0;
  while (faults < 1000 || chains < 1000) {
    Ring ring(guest.memory(), 0, 252);
    ring.StartAtForTest(guest.Word(Guest::kReqProd).load());
    std::vector<Slot> chain;
    for (int i = 0; i < 50; ++i) {
      const Ring::Taken taken = ring.Take(chain);
      if (taken == Ring::Taken::kFault) ++faults;
      if (taken != Ring::Taken::kChain) break;
      ++chains;
      ASSERT_GE(chain.size(), 1u);
      ASSERT_LE(chain.size(), 252u);
      (void)ring.Respond(Ids(chain), 0);
      (void)ring.Sleepable();
    }
  }
  stop = true;
  hostile.join();
}

TEST(GuestCopy, EveryOffsetAndLength) {
  alignas(8) uint8_t page[64];
  uint8_t own[64];
  for (size_t offset = 0; offset < 16; ++offset) {
    for (size_t length = 0; length <= 40; ++length) {
      for (size_t i = 0; i < sizeof(page); ++i) page[i] = static_cast<uint8_t>(i + 1);
      std::memset(own, 0, sizeof(own));
      CopyFromGuest({own + 3, length}, page + offset);
      EXPECT_EQ(std::memcmp(own + 3, page + offset, length), 0);
      EXPECT_EQ(own[2], 0);
      EXPECT_EQ(own[3 + length], 0);
      std::memset(page, 0, sizeof(page));
      CopyToGuest(page + offset, {own + 3, length});
      EXPECT_EQ(std::memcmp(own + 3, page + offset, length), 0);
      EXPECT_EQ(page[offset + length], 0);
      if (offset > 0) {
        EXPECT_EQ(page[offset - 1], 0);
      }
    }
  }
}

}  // namespace
}  // namespace virtfs::backend
