"""x."""

from typing import Final

CASHIER: Final = "simulated marketplace"
FEE_PERCENT: Final = 10
SCOPES: Final = (
    "ledger.post",
    "payments.make",
    "payments.read",
    "payments.refund",
    "bank.request",
    "bank.read",
    "ledger.read",
)
PAYEES: Final = (
    ("0005", "001", "ﾔﾏﾀﾞ ﾊﾅｺ"), ("0009", "015", "ｽｽﾞｷ ﾀﾛｳ"), ("0001", "001", "ｻﾄｳ ﾐｻｷ"), ("0033", "001", "ﾀﾅｶ ｹﾝｼﾞ"),
    ("9900", "018", "ｲﾄｳ ｻｵﾘ"), ("0036", "201", "ﾜﾀﾅﾍﾞ ﾕｳﾀ"), ("0310", "101", "ｺﾊﾞﾔｼ ｱｵｲ"), ("0010", "101", "ｶﾄｳ ﾘｸ"),
    ("0038", "101", "ﾖｼﾀﾞ ﾏﾅ"),
)  # fmt: skip
