mod properties;
mod scenarios;
mod unsorted;
mod world;
