// Result<T>: what was asked for, or the Errno that the guest will read.
//
// For failures of a guest's request only; what an operator must read is an absl::Status (see docs/architecture.md).
#pragma once

#include <cassert>
#include <utility>
#include <variant>

#include "base/errno.h"

namespace virtfs {

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Errno error) : state_(std::in_place_index<1>, error) {}         // NOLINT(google-explicit-constructor)

  // The value T(), made in place: for a large T that is then filled in.
  explicit Result(std::in_place_t) : state_(std::in_place_index<0>) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  Errno error() const {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }

  T& operator*() & { return *get(); }
  const T& operator*() const& { return *get(); }
  T&& operator*() && { return std::move(*get()); }
  T* operator->() { return get(); }
  const T* operator->() const { return get(); }

 private:
  T* get() {
    assert(ok());
    return std::get_if<0>(&state_);
  }
  const T* get() const {
    assert(ok());
    return std::get_if<0>(&state_);
  }

  std::variant<T, Errno> state_;
};

// Success without a value: `return Result<void>();` or `return {};`.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() : error_(0) {}
  Result(Errno error) : error_(error) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return error_.value() == 0; }
  explicit operator bool() const { return ok(); }
  Errno error() const {
    assert(!ok());
    return error_;
  }

 private:
  Errno error_;
};

}  // namespace virtfs
