//! Exports that run each kernel over data made once. No world: the bench calls them directly.

mod kernels;

use kernels::Data;
use std::cell::RefCell;

thread_local! {
    static DATA: RefCell<Data> = RefCell::new(Data::default());
}

/// Makes the data; called once, before anything is measured.
#[no_mangle]
pub extern "C" fn prepare() {
    DATA.set(Data::make());
}

#[no_mangle]
pub extern "C" fn sum() -> f64 {
    DATA.with_borrow(kernels::sum)
}

#[no_mangle]
pub extern "C" fn variance() -> f64 {
    DATA.with_borrow(kernels::variance)
}

#[no_mangle]
pub extern "C" fn histogram() -> f64 {
    DATA.with_borrow(kernels::histogram)
}

#[no_mangle]
pub extern "C" fn logistic_gradient() -> f64 {
    DATA.with_borrow(kernels::logistic_gradient)
}
