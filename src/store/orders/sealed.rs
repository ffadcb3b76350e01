//! Keys of certificates to come, sealed in their rows.

use crate::store::StoreError;
use crate::store::session::Session;
use crate::store::writing::Writing;

use super::purpose;

/// One sealed key of an order, where there is any.
pub(in crate::store) async fn any_sealed(
    session: &mut Session,
) -> Result<Option<Vec<u8>>, StoreError> {
    let row = session
        .row(
            "select sealed_key from certificate_orders where sealed_key is not null limit 1",
            &[],
        )
        .await?;
    row.map(|row| row.get("sealed_key")).transpose()
}

/// Puts what `reseal` makes of every order's key (given with its purpose) in its place; how many there were. Orders under way are few.
pub(in crate::store) async fn reseal<E: From<StoreError>>(
    tx: &mut Writing,
    reseal: impl Fn(&str, &[u8]) -> Result<Vec<u8>, E>,
) -> Result<usize, E> {
    let rows = tx
        .rows(
            "select pattern, sealed_key from certificate_orders where sealed_key is not null",
            &[],
        )
        .await?;
    for row in &rows {
        let pattern: &str = row.get("pattern")?;
        let sealed = reseal(&purpose(pattern), row.get("sealed_key")?)?;
        tx.run(
            "update certificate_orders set sealed_key = $2 where pattern = $1",
            &[pattern.into(), sealed.as_slice().into()],
        )
        .await?;
    }
    Ok(rows.len())
}
