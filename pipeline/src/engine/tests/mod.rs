mod commitment;
mod companions;
mod late;
mod properties;
mod relay;
mod scenarios;
mod unsorted;
mod world;
