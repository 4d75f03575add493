// SPDX-License-Identifier: Apache-2.0
// Two callers of one function that makes no frame of its own: often() calls it three times as often as rarely().
package main

//go:noinline
func leaf(x uint64) uint64 {
	for i := 0; i < 5000; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

//go:noinline
func often(x uint64) uint64 {
	for i := 0; i < 3; i++ {
		x = leaf(x)
	}
	return x + 1
}

//go:noinline
func rarely(x uint64) uint64 {
	return leaf(x) + 1
}

// Most of its time passes while its frame is made and left.
//
//go:noinline
func small(x uint64, y *uint64) uint64 {
	if x&1 == 0 {
		return *y
	}
	return tiny(x, y)
}

//go:noinline
func tiny(x uint64, y *uint64) uint64 {
	return x + *y
}

//go:noinline
func calls(x uint64) uint64 {
	var y uint64 = 3
	for i := uint64(0); i < 2000; i++ {
		x += small(i, &y)
	}
	return x
}

func main() {
	x := uint64(88172645463325252)
	for {
		x = calls(rarely(often(x)) | 1)
	}
}
