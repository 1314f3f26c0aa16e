// InlineList<T, N>: up to N values in place, in order; no allocation.
//
// Threads: a value.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <initializer_list>

namespace virtfs::p9 {

template <typename T, size_t N>
class InlineList {
 public:
  using value_type = T;
  static constexpr size_t kCapacity = N;

  constexpr InlineList() = default;
  // At most N values.
  constexpr InlineList(std::initializer_list<T> values) {
    for (const T& value : values) push_back(value);
  }

  constexpr size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr bool full() const { return size_ == N; }

  // Not when full().
  constexpr void push_back(const T& value) {
    assert(size_ < N);
    items_[size_++] = value;
  }
  constexpr void clear() { size_ = 0; }

  constexpr const T& operator[](size_t i) const {
    assert(i < size_);
    return items_[i];
  }
  constexpr const T* begin() const { return items_.data(); }
  constexpr const T* end() const { return items_.data() + size_; }

  friend constexpr bool operator==(const InlineList& a, const InlineList& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  std::array<T, N> items_{};
  size_t size_ = 0;
};

}  // namespace virtfs::p9
