mod commitment;
mod companions;
mod properties;
mod relay;
mod scenarios;
mod unsorted;
mod world;
