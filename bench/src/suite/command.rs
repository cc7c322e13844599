//! x
use crate::{Result, args::Args};
pub fn startup(_: &mut Args) -> Result<()> {
    Ok(())
}
pub fn memory(_: &mut Args) -> Result<()> {
    Ok(())
}
pub fn suite(_: &mut Args) -> Result<()> {
    Ok(())
}
