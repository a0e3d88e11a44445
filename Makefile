# Two commands on a fresh machine: `make demo` and `make test`. The first call makes the environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS ?= .venv-peers
PEERS_STAMP := $(PEERS)/.installed

.PHONY: demo test lint install results bench-peers

demo: $(STAMP)
	$(BIN)/ipnet demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports

# Tables and pages of the committed results, from their result.json files.
results: $(STAMP)
	for study in docs/results/*/; do $(BIN)/ipnet report $$study || exit 1; done

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "IPNet needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "this Python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $(STAMP)

# Other libraries, for benchmarks/neuron.py and benchmarks/framing.py. They contradict each other and IPNet (sinabs
# wants an old nir; spikingjelly and norse want torchvision, which is not used here): hence --no-deps and a list.
bench-peers: $(PEERS_STAMP)

$(PEERS_STAMP): benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --constraint benchmarks/peers.txt torch setuptools
	$(PEERS)/bin/python -m pip install --quiet --no-deps --requirement benchmarks/peers.txt
	@touch $(PEERS_STAMP)
