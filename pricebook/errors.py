"""The errors that Pricebook raises.

PricebookError
├── ConfigError            a setting or parameter is wrong
├── SourceError            an input file cannot be read as the table it should be
├── ContractBreach         a critical batch check failed; the run stops
├── EmptyHistory           nothing to learn from before the cut-off
├── TrainingError          training data, a loss, a forecast or a metric is not a usable number
├── LeakageError           a feature from the future reached a training row
├── LineageError           data on disk is not the data that was recorded
├── DamagedFile            a file that Pricebook wrote cannot be read back
├── LedgerError            an alert, verdict or key does not exist, or the ledger cannot be opened
├── RegistryError          a model version or alias does not exist
├── ServiceError           a server could not be started, reached or stopped
└── UnknownSku             a quote for something the price book does not list

Messages name the file, column, row or setting and end with what was received.
"""


class PricebookError(Exception):
    """Base class of all errors. The command line prints them without a traceback."""


class ConfigError(PricebookError):
    """A setting or parameter is missing, misspelt or out of range."""


class SourceError(PricebookError):
    """An input cannot be read as the table it should be."""


class ContractBreach(PricebookError):
    """A critical check failed, or too many rows were quarantined."""


class EmptyHistory(PricebookError):
    """There is nothing to learn from before the cut-off."""


class TrainingError(PricebookError):
    """Training data, a loss, a forecast or a metric is not a usable number."""


class LeakageError(PricebookError):
    """A feature, price or target from at or after the cut-off reached a training row."""


class LineageError(PricebookError):
    """Data on disk is not the data that was recorded."""


class DamagedFile(PricebookError):
    """A file that Pricebook wrote cannot be read back: it was cut short or edited."""


class LedgerError(PricebookError):
    """An alert, verdict or key does not exist, or the ledger cannot be opened."""


class RegistryError(PricebookError):
    """A model version or alias does not exist."""


class ServiceError(PricebookError):
    """A server could not be started, reached or stopped."""


class UnknownSku(PricebookError):
    """The price book does not list this sku."""
