# Two images from one file, with versions and hashes from the lock files:
#   docker build --build-arg TORCH=cpu  -t kormo:cpu .
#   docker build --build-arg TORCH=cuda -t kormo:cuda .      # CUDA libraries come as wheels
#   docker run --gpus all -v "$PWD/runs:/kormo/runs" kormo:cuda kormo train stage2
FROM python:3.11-slim-bookworm
ARG TORCH=cpu
# gcc: torch.compile and Triton build kernels when they run; three packages of lm-eval's have no wheel.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc g++ git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /kormo
COPY requirements.lock requirements-torch.lock constraints.txt ./
RUN case "$TORCH" in \
    cuda) pip install --no-cache-dir --no-deps --require-hashes -r requirements-torch.lock ;; \
    cpu) pip install --no-cache-dir -c constraints.txt torch \
           --index-url https://download.pytorch.org/whl/cpu ;; \
    *) echo "TORCH is cpu or cuda" && exit 1 ;; esac
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps -e .
CMD ["kormo", "--help"]
