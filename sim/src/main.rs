//! tmp
fn main() {
    let a: Vec<String> = std::env::args().collect();
    if a[1] == "s" {
        let lo: u64 = a[2].parse().unwrap();
        let hi: u64 = a[3].parse().unwrap();
        let mut m = [0u64; elockd_core::mark::Mark::COUNT];
        let mut bad = 0;
        let mut und = 0;
        let mut lin = 0;
        let mut lst = 0;
        for seed in lo..hi {
            let (p, s) = elockd_sim::draw::swarm(seed);
            let r = elockd_sim::world::run(&p, &s);
            for (i, x) in r.marks.iter().enumerate() {
                m[i] += u64::from(*x > 0);
            }
            let v = r.violation.or_else(|| match elockd_sim::oracle::judge(&p, &r.entries) {
                Ok(j) => {
                    und += j.undecided;
                    lin += j.linear;
                    lst += j.listings;
                    None
                }
                Err(v) => Some(v),
            });
            if let Some(v) = v {
                bad += 1;
                if bad < 30 {
                    println!("{seed}: {v}");
                }
            }
        }
        println!("bad {bad} lin {lin} undecided {und} listings {lst}");
        for (i, k) in elockd_core::mark::Mark::ALL.iter().enumerate() {
            println!("{k:?} {}", m[i]);
        }
        return;
    }
    let seed: u64 = a[1].parse().unwrap();
    let (p, s) = elockd_sim::draw::swarm(seed);
    println!("{p}");
    for x in &s {
        println!("{x}");
    }
    let r = elockd_sim::world::run(&p, &s);
    for (i, e) in r.entries.iter().enumerate() {
        println!("{i} {e}");
    }
    println!("{:?} {:?} {:?} {}", r.violation, r.bites, r.marks, r.virtual_ms);
    println!("{:?}", elockd_sim::oracle::judge(&p, &r.entries));
}
