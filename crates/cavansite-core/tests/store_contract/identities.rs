//! The installation and its identities.

use cavansite_core::Error;
use cavansite_core::model::*;
use cavansite_core::secret::Secret;
use uuid::Uuid;

use crate::contract;
use crate::world::{Stop, World, refused, user};

contract!(
    the_first_proposed_installation_stays,
    a_rotated_access_key_takes_its_slot_with_the_next_generation,
    an_identity_is_found_as_it_was_last_written,
    valid_from_never_moves_back,
    the_time_up_to_which_tokens_were_issued_is_kept_and_never_moves_back,
    a_deleted_identity_stays_known_and_takes_no_change,
    an_identity_survives_a_crash,
    someone_only_named_in_a_thread_is_no_identity,
);

fn installation(number: u8) -> Installation {
    let key = |part: u8| Secret::new(vec![number, part]);
    let access = |part| AccessKey {
        generation: u32::from(number),
        key: key(part),
    };
    Installation {
        resource: Uuid::from_u128(number.into()),
        access_keys: [access(1), access(2)],
        token_key: key(3),
        derivation_key: key(4),
    }
}

async fn the_first_proposed_installation_stays(mut world: World) {
    for (proposed, stop) in [
        (7, Stop::Gracefully),
        (8, Stop::ByCrash),
        (9, Stop::ByCrash),
    ] {
        let held = world
            .store()
            .get_or_insert_installation(installation(proposed))
            .await
            .unwrap();
        assert_eq!(held.resource, Uuid::from_u128(7));
        assert_eq!(held.access_key(KeySlot::Primary).key.expose(), [7, 1]);
        assert_eq!(held.access_key(KeySlot::Secondary).key.expose(), [7, 2]);
        assert_eq!(held.access_key(KeySlot::Primary).generation, 7);
        assert_eq!(held.token_key.expose(), [7, 3]);
        assert_eq!(held.derivation_key.expose(), [7, 4]);
        world.reopen(stop).await;
    }
}

async fn a_rotated_access_key_takes_its_slot_with_the_next_generation(mut world: World) {
    let proposed = installation(7);
    world
        .store()
        .get_or_insert_installation(proposed)
        .await
        .unwrap();
    for (slot, key, generation) in [
        (KeySlot::Primary, 20, 8),
        (KeySlot::Primary, 21, 9),
        (KeySlot::Secondary, 22, 8),
    ] {
        let new = Secret::new(vec![key]);
        let rotated = world.store().rotate_access_key(slot, new).await.unwrap();
        world.reopen(Stop::ByCrash).await;
        let other = installation(9);
        let held = world
            .store()
            .get_or_insert_installation(other)
            .await
            .unwrap();
        for found in [rotated, held] {
            assert_eq!(found.access_key(slot).key.expose(), [key]);
            assert_eq!(found.access_key(slot).generation, generation);
            assert_eq!(found.token_key.expose(), [7, 3]);
        }
    }
}

async fn an_identity_is_found_as_it_was_last_written(world: World) {
    let store = world.store();
    assert_eq!(store.get_identity(&user(1)).await.unwrap(), None);
    store.insert_identity(&user(1)).await.unwrap();
    let found = store.get_identity(&user(1)).await.unwrap().unwrap();
    assert_eq!(found.id, user(1));
    assert!(found.valid_from < Timestamp::EPOCH);
    assert_eq!(found.deleted_at, None);
    store.revoke_tokens(&user(1), world.now()).await.unwrap();
    let found = store.get_identity(&user(1)).await.unwrap().unwrap();
    assert_eq!(found.valid_from, world.now());
    assert_eq!(store.get_identity(&user(2)).await.unwrap(), None);
}

async fn valid_from_never_moves_back(world: World) {
    let store = world.store();
    store.insert_identity(&user(1)).await.unwrap();
    let later = world.now().plus_millis(10);
    store.revoke_tokens(&user(1), later).await.unwrap();
    store.revoke_tokens(&user(1), world.now()).await.unwrap();
    let found = store.get_identity(&user(1)).await.unwrap().unwrap();
    assert_eq!(found.valid_from, later);
}

async fn the_time_up_to_which_tokens_were_issued_is_kept_and_never_moves_back(mut world: World) {
    let mut expected = Timestamp::EPOCH;
    for raised in [5, 9, 7] {
        assert_eq!(world.store().get_issued_through().await.unwrap(), expected);
        let raised = Timestamp::from_millis(raised);
        world.store().raise_issued_through(raised).await.unwrap();
        expected = expected.max(raised);
        world.reopen(Stop::ByCrash).await;
        assert_eq!(world.store().get_issued_through().await.unwrap(), expected);
    }
}

async fn a_deleted_identity_stays_known_and_takes_no_change(world: World) {
    let store = world.store();
    store.insert_identity(&user(1)).await.unwrap();
    store.delete_identity(&user(1)).await.unwrap();
    let found = store.get_identity(&user(1)).await.unwrap().unwrap();
    assert_eq!(found.deleted_at, Some(world.now()));
    for who in [1, 2] {
        refused!(
            store.delete_identity(&user(who)).await,
            Error::IdentityNotOwned
        );
        refused!(
            store.revoke_tokens(&user(who), world.now()).await,
            Error::IdentityNotOwned
        );
    }
}

async fn an_identity_survives_a_crash(mut world: World) {
    world.store().insert_identity(&user(1)).await.unwrap();
    let from = world.now();
    world.store().revoke_tokens(&user(1), from).await.unwrap();
    world.reopen(Stop::ByCrash).await;
    let found = world.store().get_identity(&user(1)).await.unwrap().unwrap();
    assert_eq!(found.valid_from, from);
}

async fn someone_only_named_in_a_thread_is_no_identity(world: World) {
    world.thread(1, &[1, 2]).await;
    let store = world.store();
    assert_eq!(store.get_identity(&user(2)).await.unwrap(), None);
    refused!(
        store.delete_identity(&user(2)).await,
        Error::IdentityNotOwned
    );
    store.insert_identity(&user(2)).await.unwrap();
    assert!(store.get_identity(&user(2)).await.unwrap().is_some());
}
