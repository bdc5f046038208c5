"""Secrets of every kind, made anew by a seed (none is anybody's), and texts that look like some and are none."""

from __future__ import annotations

import random
import string

LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits


def of(count: int, alphabet: str = LETTERS, seed: str = "") -> str:
    """So many characters, no two neighbours alike, the first one a digit."""
    chosen = random.Random(f"{seed}{count}{alphabet}")
    text = chosen.choice("23456789") + chosen.choice(
        alphabet[: alphabet.index("f") + 1] if "f" in alphabet else alphabet
    )
    while len(text) < count:
        text += chosen.choice(alphabet.replace(text[-1], ""))
    return text[:count]


def uuid(seed: str) -> str:
    text = of(32, HEX, seed)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


TOKENS = {
    "aws": "AKIA" + of(16, UPPER),
    "aws session": "ASIA" + of(16, UPPER, "s"),
    "github": "ghp_" + of(36),
    "github app": "ghs_" + of(36, seed="a"),
    "github fine": "github_pat_" + of(22) + "_" + of(59),
    "gitlab": "glpat-" + of(20),
    "gitlab runner": "glrt-" + of(20, seed="r"),
    "bitbucket": "ATBB" + of(32),
    "atlassian": "ATATT3" + of(180),
    "hugging face": "hf_" + of(34),
    "openai": "sk-" + of(48),
    "openai project": "sk-proj-" + of(120, LETTERS + "-_"),
    "anthropic": "sk-ant-api03-" + of(93, LETTERS + "-_") + "AA",
    "openrouter": "sk-or-v1-" + of(64, HEX),
    "groq": "gsk_" + of(52),
    "xai": "xai-" + of(80),
    "perplexity": "pplx-" + of(48),
    "replicate": "r8_" + of(37),
    "nvidia": "nvapi-" + of(64, LETTERS + "-_"),
    "pinecone": "pcsk_" + of(65),
    "langsmith": "lsv2_pt_" + of(32, HEX) + "_" + of(10, HEX),
    "kaggle": "KGAT_" + of(32, HEX),
    "google": "AIza" + of(35, LETTERS + "-_"),
    "google oauth": "GOCSPX-" + of(28),
    "google access": "ya29." + of(60, LETTERS + "-_"),
    "slack bot": "xoxb-" + of(12, string.digits) + "-" + of(13, string.digits) + "-" + of(24),
    "slack app": "xapp-1-" + of(11, UPPER) + "-" + of(13, string.digits) + "-" + of(64, HEX),
    "slack webhook": "https://hooks.slack.com/services/T" + of(10, UPPER) + "/B" + of(10, UPPER) + "/" + of(24),
    "discord webhook": "https://discord.com/api/webhooks/" + "1" + of(17, string.digits) + "/" + of(68),
    "telegram": "1" + of(8, string.digits) + ":AA" + of(33),
    "stripe": "sk_live_" + of(24),
    "stripe test": "rk_test_" + of(24, seed="t"),
    "square": "sq0atp-" + of(22),
    "shopify": "shpat_" + of(32, HEX),
    "twilio": "SK" + of(32, HEX),
    "sendgrid": "SG." + of(22) + "." + of(43),
    "mailgun": "key-" + of(32, HEX),
    "mailchimp": of(32, HEX) + "-us12",
    "brevo": "xkeysib-" + of(64, HEX) + "-" + of(16),
    "npm": "npm_" + of(36),
    "pypi": "pypi-AgEIcHlwaS5vcmc" + of(80, LETTERS + "-_"),
    "docker": "dckr_pat_" + of(27),
    "digitalocean": "dop_v1_" + of(64, HEX),
    "databricks": "dapi" + of(32, HEX),
    "heroku": "HRKU-" + uuid("heroku"),
    "netlify": "nfp_" + of(36),
    "supabase": "sbp_" + of(40, HEX),
    "planetscale": "pscale_tkn_" + of(43),
    "vault": "hvs." + of(90, LETTERS + "-_"),
    "terraform": of(14) + ".atlasv1." + of(67),
    "pulumi": "pul-" + of(40, HEX),
    "doppler": "dp.pt." + of(43),
    "grafana": "glsa_" + of(32) + "_" + of(8, HEX),
    "sentry": "sntryu_" + of(64, HEX),
    "new relic": "NRAK-" + of(27, UPPER),
    "linear": "lin_api_" + of(40),
    "notion": "ntn_" + of(46),
    "airtable": "pat" + of(14) + "." + of(64, HEX),
    "postman": "PMAK-" + of(24, HEX) + "-" + of(34, HEX),
    "dynatrace": "dt0c01." + of(24, UPPER) + "." + of(64, UPPER),
    "alibaba": "LTAI" + of(20),
    "jwt": "eyJ" + of(33) + ".eyJ" + of(60) + "." + of(43, LETTERS + "-_"),
    "age": "AGE-SECRET-KEY-1" + of(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
    "azure storage": "AccountName=a;AccountKey=" + of(86) + "==;EndpointSuffix=core.windows.net",
    "azure sas": "https://a.blob.core.windows.net/c/x?sv=2024&sig=" + of(43) + "%3D&se=2026",
    "s3 signed": "https://b.s3.amazonaws.com/k?X-Amz-Signature=" + of(64, HEX),
    "database": "postgresql://me:" + of(12) + "@db.example.org:5432/prod",
    "mongo": "mongodb+srv://svc:" + of(16) + "@c0.example.net/?retryWrites=true",
    "redis": "redis://:" + of(20) + "@cache:6379/0",
    "url token": "https://" + of(40, HEX) + "@git.example.org/a.git",
}
"""kind -> a text that is one wherever it stands"""

NAMED = {
    "password": "hunter" + of(6),
    "DB_PASSWORD": "Tr0ub4dor&" + of(3),
    "smtp.passwd": of(14),
    "api_key": of(32, HEX),
    "apiKey": of(32),
    "AWS_SECRET_ACCESS_KEY": of(40, LETTERS + "/+"),
    "client_secret": of(30),
    "wandb_api_key": of(40, HEX),
    "auth-token": of(26),
    "X-Api-Key": of(24),
    "encryption_key": of(44) + "=",
    "SECRET_KEY": "django-insecure-" + of(50),
}
"""name -> a text that only its name gives away"""

HARMLESS_TEXTS = (
    "adam", "sk-learn", "scikit-learn==1.5.0", "hf_dataset_name", "ghp_short", "pypi-server",
    "3f786850e387550fdab836ed7e6dc881de23001b",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "550e8400-e29b-41d4-a716-446655440000",
    "https://example.org/data.csv?page=2&sort=name", "ssh://git@example.org/a.git", "git@example.org:a/b.git",
    "s3://bucket/key/part-0001.parquet", "postgresql://localhost/db", "postgresql://reader@db.example.org/prod",
    "file:///tmp/x", "mlp-256x256-relu", "resnet50-0676ba61.pth", "2026-11-30T12:00:00Z", "0.8.1-rc.2+build.5",
    "key-value", "us-east-1", "SKU-12345", "AC/DC", "eyJ", "xoxo", "the token is kept elsewhere", "password",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "<your token>", "${API_KEY}", "$HF_TOKEN", "{{ secrets.KEY }}",
    "%(password)s", "train/loss", "model.layers.0.attention.wq", "Basic usage",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
)  # fmt: skip
HARMLESS_PAIRS = (
    ("max_tokens", 2048), ("max-tokens", "2048"), ("tokens", 300_000_000), ("num_tokens", "1e9"),
    ("pad_token", "<pad>"), ("eos_token", "</s>"), ("bos-token", "<s>"), ("tokenizer", "bert-base-uncased"),
    ("tokenizer_path", "tok.json"), ("token_dropout", 0.1), ("use_auth_token", True), ("sort_key", "name2"),
    ("primary_key", "user_id2"), ("partition-key", "day1"), ("label_key", "y1"), ("monitor_key", "val/f1"),
    ("key", "k1"), ("keys", "a1"), ("key_size", 64), ("prng_key", "42abc"), ("n_passes", 3), ("bypass", "x1"),
    ("passthrough", "x1"), ("pass_rate", "0.9"), ("author", "m3"), ("authors", "m3"), ("auth", "basic"),
    ("auth", "none"), ("auth_mode", "x509"), ("secretary", "m3"), ("password_field", "pw1"), ("password_length", 12),
    ("token_file", "/run/t1"), ("key_path", "/etc/k1"), ("secret_dir", "/run/s1"), ("api_key_env", "HF1"),
    ("compass", "n1"), ("monkey", "m1"), ("turkey", "t1"), ("keyboard", "k1"), ("lr", 1e-3), ("cls_token", "[CLS]"),
    ("per_token", "x1"), ("stop_token", "###1"), ("hot_key", "ctrl+1"), ("cache_key", "v1"), ("attention_key", "wk1"),
    ("token", None), ("api_key", None), ("api_key", ""), ("auth", False), ("api_key", "$API_KEY"),
    ("password", "${DB_PASSWORD}"), ("token", "env"), ("credentials", "auto"),
)  # fmt: skip
HARMLESS_CODE = (
    "password = getpass.getpass()", 'api_key = os.environ["API_KEY"]', 'token = os.getenv("HF_TOKEN_V2")',
    "token = tokenizer.eos_token",
    'parser.add_argument("--password", help="the password of the database, 8 characters")',
    'PASSWORD_FIELD = "password1"', 'labels = {"password": "Enter your password"}', 'secret = Secret("name-2")',
    'pad_token="[PAD]"', 'special_tokens = ["<s>", "</s>"]', 'headers = {"Authorization": f"Bearer {token}"}',
    "key = jax.random.PRNGKey(0)", 'sort_key = "column_2"', 'def token(self) -> "Token2":',
    'url = f"postgresql://{user}:{password}@{host}/db"', 'url = "postgresql://user:password@localhost/db"',
    'assert token == "..."', 'COMMIT = "3f786850e387550fdab836ed7e6dc881de23001b"',
    'TOKEN_PATTERN = re.compile(r"ghp_[A-Za-z0-9]{36}")', 'hf = "hf_hub_download"',
    'digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"', 'x = "sk-" + name',
    'tokens: "list[str] | None" = None', 'api_key = "your-api-key-123"', 'password = "changeme"',
    'secret_key = "<insert-key-1>"', 'token = "xxxxxxxxxxxxxxxx"', "passwd: str = field()", 'auth = ("user", "pass")',
    'config["api_key"] = config["env"]["KEY_1"]', 'dsn = "sqlite:///local1.db"', 'key_file = "conf/server1.key"',
)  # fmt: skip
