//! Chance that is the same in every run.

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`; off by less than one in 2⁵⁰ for the bounds that are used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Zipf's law with the exponent 1.
pub struct Zipf(Vec<f64>);

impl Zipf {
    pub fn new(keys: u32) -> Self {
        let mut sum = 0.0;
        let below = |rank: u32| {
            sum += 1.0 / f64::from(rank);
            sum
        };
        Self((1..=keys).map(below).collect())
    }

    /// A key, counted from 0; the first is the most frequent.
    pub fn draw(&self, random: &mut Random) -> u64 {
        let all = self.0.last().expect("at least one key");
        let at = random.unit() * all;
        self.0.partition_point(|sum| *sum <= at) as u64
    }
}
