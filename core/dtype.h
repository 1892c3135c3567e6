// Element types, their sizes and safetensors names, and the 16-bit storage types with their exact
// conversions. Header-only; the bottom of the include graph next to core/error.h. Arithmetic is
// never done in a 16-bit type: load, convert to float, accumulate in float, store.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace athanor {

enum class DType { kF32, kBF16, kF16, kI32, kI64, kU8 };

// Bytes of one element.
constexpr int64_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
      return 2;
    case DType::kI64:
      return 8;
    case DType::kU8:
      return 1;
  }
  throw Error(ErrorKind::kInternal, "dtype_size: not a DType");
}

// The name safetensors files use: "F32", "BF16", "F16", "I32", "I64", "U8".
constexpr const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kBF16:
      return "BF16";
    case DType::kF16:
      return "F16";
    case DType::kI32:
      return "I32";
    case DType::kI64:
      return "I64";
    case DType::kU8:
      return "U8";
  }
  throw Error(ErrorKind::kInternal, "dtype_name: not a DType");
}

// Inverse of dtype_name; false when the name is not one of ours.
constexpr bool dtype_from_name(std::string_view name, DType* dtype) {
  for (DType candidate :
       {DType::kF32, DType::kBF16, DType::kF16, DType::kI32, DType::kI64, DType::kU8}) {
    if (name == dtype_name(candidate)) {
      *dtype = candidate;
      return true;
    }
  }
  return false;
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

struct bfloat16 {
  uint16_t bits = 0;
  friend constexpr bool operator==(bfloat16, bfloat16) = default;  // of the bits, not of the value
};

struct float16 {
  uint16_t bits = 0;
  friend constexpr bool operator==(float16, float16) = default;  // of the bits, not of the value
};

// Round to nearest, ties to even. A NaN keeps its sign and upper payload and becomes quiet.
constexpr bfloat16 to_bfloat16(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x0040u)};
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

constexpr float to_float(bfloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// Round to nearest, ties to even, through subnormals; overflow goes to infinity.
constexpr float16 to_float16(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (u >> 16) & 0x8000u;
  const uint32_t magnitude = u & 0x7fffffffu;
  uint32_t half = 0;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x03ffu);  // NaN, quiet
  } else if (magnitude >= 0x47800000u) {
    half = 0x7c00u;  // 2^16 and above, infinity included
  } else if (magnitude >= 0x38800000u) {
    // Normal, from 2^-14: rebias the exponent (127 - 15) and drop 13 bits. The carry of the
    // rounding may reach the exponent, which is right, up to infinity for 65520 and above.
    const uint32_t rebiased = magnitude - (112u << 23);
    half = (rebiased + 0x0fffu + ((rebiased >> 13) & 1u)) >> 13;
  } else if (magnitude >= 0x33000000u) {
    // Subnormal, from 2^-25 (a tie that goes to zero): the unit is 2^-24.
    const uint32_t shift = 126u - (magnitude >> 23);
    const uint32_t mantissa = (magnitude & 0x007fffffu) | 0x00800000u;
    const uint32_t half_unit = 1u << (shift - 1);
    half = (mantissa + (half_unit - 1u) + ((mantissa >> shift) & 1u)) >> shift;
  }
  return {static_cast<uint16_t>(sign | half)};
}

// Exact.
constexpr float to_float(float16 value) {
  const uint32_t sign = (static_cast<uint32_t>(value.bits) & 0x8000u) << 16;
  const uint32_t exponent = (static_cast<uint32_t>(value.bits) >> 10) & 0x1fu;
  const uint32_t mantissa = static_cast<uint32_t>(value.bits) & 0x03ffu;
  if (exponent == 0x1fu) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  }
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
}

constexpr float to_float(float value) { return value; }

// Conversion from float to the storage type T, for code templated over it.
template <class T>
constexpr T from_float(float value);
template <>
constexpr float from_float<float>(float value) {
  return value;
}
template <>
constexpr bfloat16 from_float<bfloat16>(float value) {
  return to_bfloat16(value);
}
template <>
constexpr float16 from_float<float16>(float value) {
  return to_float16(value);
}

// DTypeOf<T>::value, or dtype_of<T>.
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::kBF16;
};
template <>
struct DTypeOf<float16> {
  static constexpr DType value = DType::kF16;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kI64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kU8;
};

template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace athanor
