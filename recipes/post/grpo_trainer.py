"""TRL's GRPO trainer with prompts that are rendered already, and the chat stages' measurements."""

from trl import GRPOTrainer

from .chat_trainer import ChatMeasurements


class RewardTrainer(ChatMeasurements, GRPOTrainer):
    """`GRPOTrainer` for rendered prompts."""

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict]:
        # The chat template has no BOS, which the tokenizer would put before plain text.
        return self.processing_class(prompts, add_special_tokens=False)["input_ids"], None, {}
