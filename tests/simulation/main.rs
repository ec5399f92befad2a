//! The whole pool in simulation: see [`presently_tests::world`].

mod assignment;
mod counting;
mod devices;
mod durable;
mod fan_out;
mod first_path;
mod flows;
mod gone_for_good;
mod laws;
mod nlb;
mod nothing_is_lost;
mod order;
mod play;
mod seeds;
mod served;
mod storm;
mod taking_over;
