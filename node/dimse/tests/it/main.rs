//! The crate from outside: golden PDUs, both machines against each other and against an oracle, any fragmentation.

#[cfg(test)]
mod counts;
#[cfg(test)]
mod fragmentation;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_pdus;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod pair;
