mod commitment;
mod companions;
mod properties;
mod readings;
mod relay;
mod scenarios;
mod unsorted;
mod world;
