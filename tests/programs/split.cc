// SPDX-License-Identifier: Apache-2.0
// Three quarters of the time in one function, one quarter in another; both are inlined into main.
// A turn takes microseconds: far from the period of the samples, which would otherwise meet the same part again and again.
#include <cstdint>

namespace shop
{
struct Mixer {
	uint64_t state = 1;
	[[gnu::always_inline]] inline void stir(uint64_t rounds)
	{
		for (uint64_t i = 0; i < rounds; i++) { // xorshift: no compiler finds a shorter way to the end
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17 ^ i;
		}
	}
};

[[gnu::always_inline]] inline void three_quarters(Mixer &mixer)
{
	mixer.stir(3000);
	asm volatile("" : "+m"(mixer));
}

[[gnu::always_inline]] inline void one_quarter(Mixer &mixer)
{
	mixer.stir(1000);
	asm volatile("" : "+m"(mixer));
}
}

int main()
{
	shop::Mixer mixer;

	for (;;) {
		shop::three_quarters(mixer);
		shop::one_quarter(mixer);
	}
}
