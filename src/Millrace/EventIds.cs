namespace Millrace;

/// <summary>
/// Numbers of log events. Consuming has 1100 to 1199, ordered groups 1140 to 1159 of them, monitoring 1200 to 1249, what keeps
/// groups and streams 1250 to 1299, recurring messages 1300 to 1349, the patterns 1400 to 1499, outbox and inbox 1500 to 1549.
/// </summary>
internal static class EventIds
{
    public const int HandlerFailed = 1100;
    public const int DeadLettered = 1101;
    public const int Abandoned = 1102;
    public const int LeaseLost = 1103;
    public const int HandedBack = 1104;
    public const int HandBackFailed = 1105;
    public const int SettlementRetried = 1106;
    public const int SettlementFailed = 1107;
    public const int GroupRecreated = 1108;
    public const int ReadFailed = 1109;
    public const int RecoveryFailed = 1110;
    public const int Recovered = 1111;
    public const int ExtendFailed = 1112;
    public const int WorkerStarted = 1113;
    public const int WorkerStopped = 1114;
    public const int DrainCutShort = 1115;
    public const int FailedAfterSettling = 1116;
    public const int CommitConflict = 1117;
    public const int InstanceNameIsRandom = 1118;
    public const int SettlementUnknown = 1119;
    public const int UndecodableIgnored = 1130;
    public const int GroupHalted = 1131;
    public const int DuplicateSkipped = 1132;
    public const int BreakerOpened = 1133;
    public const int BreakerClosed = 1134;
    public const int RateLimitFailed = 1135;

    public const int ReaderTookLease = 1140;
    public const int ReaderLeft = 1141;
    public const int ReaderLeaseLost = 1142;
    public const int ReaderRenewalFailed = 1143;
    public const int ReaderReleaseFailed = 1144;
    public const int KeyParked = 1145;
    public const int KeyResumed = 1146;
    public const int KeySkipped = 1147;
    public const int TurnFailed = 1148;
    public const int OrderLimitReached = 1149;

    public const int SamplingFailed = 1200;

    public const int PresenceFailed = 1250;
    public const int DeadConsumerDeleted = 1251;
    public const int LedgerFailed = 1252;
    public const int EntriesVanished = 1253;
    public const int PendingDeleted = 1254;
    public const int LossHandlerFailed = 1255;
    public const int RetentionFailed = 1256;
    public const int RetentionDropped = 1257;
    public const int GroupAbandoned = 1258;
    public const int LanesMissed = 1259;
    public const int LanesUnknown = 1260;

    public const int ChainBegun = 1300;
    public const int ChainFailed = 1301;
}
