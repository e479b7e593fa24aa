mod commitment;
mod companions;
mod properties;
mod scenarios;
mod unsorted;
mod world;
