import pytest

from koban.audit import Secrets, SeededSecrets, SystemSecrets


@pytest.mark.parametrize("secrets", [SystemSecrets(), SeededSecrets(1)])
def test_draws_have_their_length_and_differ(secrets: Secrets) -> None:
    assert [len(secrets.draw(count)) for count in (0, 1, 12, 32)] == [0, 1, 12, 32]
    assert len({secrets.draw(16) for _ in range(100)}) == 100


def test_a_seed_names_one_sequence() -> None:
    assert SeededSecrets(7).draw(32) == SeededSecrets(7).draw(32)
    assert SeededSecrets(7).draw(32) != SeededSecrets(8).draw(32)
