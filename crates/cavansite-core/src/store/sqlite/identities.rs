//! The installation and its identities.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::queue::Outcome;
use super::read::failed;
use super::transaction::{Batch, Transaction};
use super::{SqliteStore, row};
use crate::error::{Error, Result, StoreFailure};
use crate::model::{AccessKey, Identity, Installation, KeySlot, Timestamp, UserId};
use crate::secret::Secret;
use crate::store::IdentityStore;

/// The installation that the database holds; `None` also where there is no table yet.
pub(super) fn read_installation(connection: &Connection) -> rusqlite::Result<Option<Installation>> {
    let secret = |row: &rusqlite::Row<'_>, column| -> rusqlite::Result<Secret> {
        Ok(Secret::new(row.get::<_, Vec<u8>>(column)?))
    };
    connection
        .query_row(
            "SELECT resource, primary_key, primary_generation, secondary_key, \
             secondary_generation, token_key, derivation_key FROM installation",
            [],
            |row| {
                let primary = AccessKey {
                    key: secret(row, 1)?,
                    generation: row.get(2)?,
                };
                let secondary = AccessKey {
                    key: secret(row, 3)?,
                    generation: row.get(4)?,
                };
                Ok(Installation {
                    resource: Uuid::from_bytes(row.get(0)?),
                    access_keys: [primary, secondary],
                    token_key: secret(row, 5)?,
                    derivation_key: secret(row, 6)?,
                })
            },
        )
        .optional()
}

fn insert_installation(tx: &Transaction<'_>, made: &Installation) -> rusqlite::Result<()> {
    let [primary, secondary] = &made.access_keys;
    tx.connection.execute(
        "INSERT INTO installation VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            made.resource.as_bytes(),
            primary.key.expose(),
            primary.generation,
            secondary.key.expose(),
            secondary.generation,
            made.token_key.expose(),
            made.derivation_key.expose(),
        ],
    )?;
    Ok(())
}

fn read_identity(connection: &Connection, user: &UserId) -> rusqlite::Result<Option<Identity>> {
    connection
        .prepare_cached(
            "SELECT valid_from, deleted_at FROM users WHERE id = ?1 AND valid_from IS NOT NULL",
        )?
        .query_row(params![user.as_str()], |columns| {
            Ok(Identity {
                id: user.clone(),
                valid_from: row::timestamp(columns, 0)?,
                deleted_at: row::timestamp_or_null(columns, 1)?,
            })
        })
        .optional()
}

/// The identity, where it may still be changed.
fn living(tx: &Transaction<'_>, user: &UserId) -> Outcome<Identity> {
    match read_identity(tx.connection, user)? {
        Some(identity) if identity.deleted_at.is_none() => Ok(identity),
        _ => Err(Error::IdentityNotOwned.into()),
    }
}

fn write_identity(tx: &mut Transaction<'_>, identity: Identity) -> Outcome<()> {
    tx.connection
        .prepare_cached(
            "INSERT INTO users (id, valid_from, deleted_at) VALUES (?1, ?2, ?3) \
             ON CONFLICT (id) DO UPDATE SET valid_from = ?2, deleted_at = ?3",
        )?
        .execute(params![
            identity.id.as_str(),
            identity.valid_from.as_millis(),
            identity.deleted_at.map(Timestamp::as_millis),
        ])?;
    tx.publish_identity(identity);
    Ok(())
}

#[async_trait]
impl IdentityStore for SqliteStore {
    async fn get_or_insert_installation(&self, proposed: Installation) -> Result<Installation> {
        self.write(move |Batch { tx, .. }| {
            if let Some(present) = read_installation(tx.connection)? {
                return Ok(present);
            }
            insert_installation(tx, &proposed)?;
            Ok(proposed)
        })
        .await
    }

    async fn rotate_access_key(&self, slot: KeySlot, key: Secret) -> Result<Installation> {
        self.write(move |Batch { tx, .. }| {
            let installation = read_installation(tx.connection)?;
            let mut installation = installation.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            let rotated = &mut installation.access_keys[slot as usize];
            rotated.generation = rotated.generation.saturating_add(1);
            rotated.key = key;
            let statement = match slot {
                KeySlot::Primary => {
                    "UPDATE installation SET primary_key = ?1, primary_generation = ?2"
                }
                KeySlot::Secondary => {
                    "UPDATE installation SET secondary_key = ?1, secondary_generation = ?2"
                }
            };
            let (key, generation) = (rotated.key.expose(), rotated.generation);
            tx.connection.execute(statement, params![key, generation])?;
            tx.publish_access_keys(installation.clone());
            Ok(installation)
        })
        .await
    }

    async fn get_issued_through(&self) -> Result<Timestamp> {
        self.read_time("SELECT issued_through FROM engine").await
    }

    async fn raise_issued_through(&self, time: Timestamp) -> Result<()> {
        self.write(move |Batch { tx, .. }| {
            tx.connection
                .prepare_cached("UPDATE engine SET issued_through = max(issued_through, ?1)")?
                .execute(params![time.as_millis()])?;
            Ok(())
        })
        .await
    }

    async fn insert_identity(&self, user: &UserId) -> Result<()> {
        let identity = Identity {
            id: user.clone(),
            valid_from: Timestamp::from_millis(i64::MIN),
            deleted_at: None,
        };
        self.write(move |Batch { tx, .. }| {
            match read_identity(tx.connection, &identity.id)? {
                // An id is random: whoever made it again gets what there is.
                Some(_) => Ok(()),
                None => write_identity(tx, identity),
            }
        })
        .await
    }

    async fn get_identity(&self, user: &UserId) -> Result<Option<Identity>> {
        if let Some(identity) = self.shared.identities.get(user) {
            return Ok(Some(identity));
        }
        let user = user.clone();
        self.read(move |connection, shared| {
            // The placeholder stands before the snapshot begins: a commit in between replaces it,
            // and what was read before that commit is not kept.
            match shared.identities.get_value_or_guard(&user, None) {
                quick_cache::sync::GuardResult::Value(identity) => Ok(Some(identity)),
                quick_cache::sync::GuardResult::Guard(guard) => {
                    let identity = read_identity(connection, &user).map_err(failed)?;
                    if let Some(identity) = &identity {
                        let _ = guard.insert(identity.clone());
                    }
                    Ok(identity)
                }
                quick_cache::sync::GuardResult::Timeout => {
                    Err(StoreFailure::new("waited too long for an identity").into())
                }
            }
        })
        .await
    }

    async fn revoke_tokens(&self, user: &UserId, valid_from: Timestamp) -> Result<()> {
        let user = user.clone();
        self.write(move |Batch { tx, .. }| {
            let identity = living(tx, &user)?;
            if identity.valid_from >= valid_from {
                return Ok(());
            }
            write_identity(
                tx,
                Identity {
                    valid_from,
                    ..identity
                },
            )
        })
        .await
    }

    async fn delete_identity(&self, user: &UserId) -> Result<()> {
        let user = user.clone();
        self.write(move |Batch { tx, .. }| {
            let identity = living(tx, &user)?;
            let deleted_at = Some(tx.now);
            write_identity(
                tx,
                Identity {
                    deleted_at,
                    ..identity
                },
            )
        })
        .await
    }
}
