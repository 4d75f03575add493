// SPDX-License-Identifier: Apache-2.0
// Three quarters of the time in one function, one quarter in another; both are inlined into main.
// A turn takes microseconds: far from the period of the samples, which would otherwise meet the same part again and again.
struct Mixer {
    state: u64,
}

impl Mixer {
    #[inline(always)]
    fn stir(&mut self, rounds: u64) {
        for i in 0..rounds {
            // xorshift: no compiler finds a shorter way to the end
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17 ^ i;
        }
    }
}

/// The compiler cannot know what becomes of the state.
#[inline(always)]
fn keep(mixer: &mut Mixer) {
    let mut state = mixer.state;
    unsafe { std::ptr::write_volatile(&mut state, mixer.state) };
    mixer.state = unsafe { std::ptr::read_volatile(&state) };
}

#[inline(always)]
fn three_quarters(mixer: &mut Mixer) {
    mixer.stir(3000);
    keep(mixer);
}

#[inline(always)]
fn one_quarter(mixer: &mut Mixer) {
    mixer.stir(1000);
    keep(mixer);
}

fn main() {
    let mut mixer = Mixer { state: 1 };
    loop {
        three_quarters(&mut mixer);
        one_quarter(&mut mixer);
    }
}
