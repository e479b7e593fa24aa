mod commitment;
mod companions;
mod properties;
mod readings;
mod scenarios;
mod unsorted;
mod world;
