//! sdc
