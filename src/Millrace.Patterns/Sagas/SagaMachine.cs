namespace Millrace.Sagas;

/// <summary>What a message, a time-out or a request does to an instance. Pure: it changes the turn and nothing else.</summary>
/// <remarks>
/// <code>
///            Start                    Complete
/// (nothing) ───────► Running ───────────────────────────────► Completed
///                       │ Compensate
///                       ▼                last step undone
///               ┌► Compensating ─────────────────────────────► Compensated
///               │       │ an undoing failed too often              │
///         Retry,│       ▼                                          │ a step is done, late
///         Skip, └─ NeedsAttention                                  │
///     confirmed ▲                                                  │
///               └── Compensating ◄─────────────────────────────────┘
/// </code>
/// </remarks>
internal static class SagaMachine
{
    /// <summary>The time-out of an undoing that waits for its answer, or for its next attempt.</summary>
    public const string UndoTimeout = "millrace/undo";

    private const int MaxDoublings = 10;

    // About a minute, with the pauses that the consumer of a saga makes: other processes of a deployment have the message by then.
    private const int MaxAttemptsWithoutStep = 7;

    // A commit has a limit; what is left is undone in the next one.
    private const int MaxUndoneAtOnce = 100;

    /// <summary>A message of the application.</summary>
    public static void Handle<TState>(Saga<TState> saga, SagaRule<TState> rule, object message, SagaTurn<TState> turn)
        where TState : notnull
    {
        if (IsHandled(turn))
            return;
        var phase = Phase(saga, turn);
        switch (turn.HasDocument ? turn.Document.Status : null as SagaStatus?)
        {
            case SagaStatus.Running:
                HandleRunning(saga, rule, message, turn);
                break;
            case SagaStatus.Compensating or SagaStatus.NeedsAttention:
                HandleCompensating(saga, rule, message, turn);
                break;
            case SagaStatus.Compensated when rule.Completes is { } step && turn.MarkDone(step, rule.Detail?.Invoke(message)):
                (turn.Document.Ended, turn.IsChanged) = (null, true);
                turn.Notes.Add($"'{step}' came late");
                UndoNext(saga, turn);
                break;
            case var status when rule.Start is not null && (status is null || turn.Options.RestartsEnded):
                Start(saga, rule, message, turn);
                break;
            default:
                HandleMissing(saga, rule, message, turn);
                break;
        }

        Record(saga, turn, phase);
    }

    /// <summary>A time-out: nothing, unless it is the last one of its name and was not cancelled.</summary>
    public static void HandleTimeout<TState>(Saga<TState> saga, SagaTimeout timeout, SagaTurn<TState> turn)
        where TState : notnull
    {
        if (!turn.HasDocument || turn.Document.Timeouts.RemoveAll(set => set.Name == timeout.Name && set.Token == timeout.Token) == 0)
            return;
        turn.IsChanged = true;
        var phase = Phase(saga, turn);
        if (timeout.Name == UndoTimeout)
            ContinueUndo(saga, turn);
        else if (saga.TryFindTimeout(timeout.Name, out var handle))
            Run(saga, turn, state => handle(state, new(turn)));
        else
            throw new SagaStateException(saga.Name, turn.Id, $"This version of the saga has no time-out '{timeout.Name}'; a newer one may.");
        Record(saga, turn, phase);
    }

    /// <summary>What an operator asks for, if the instance is where he saw it.</summary>
    public static void HandleRequest<TState>(Saga<TState> saga, SagaRequest request, SagaTurn<TState> turn)
        where TState : notnull
    {
        if (IsHandled(turn))
            return;
        var status = turn.HasDocument ? turn.Document.Status : null as SagaStatus?;
        var phase = Phase(saga, turn);
        switch (request.Act)
        {
            case SagaAct.Compensate when status == SagaStatus.Running:
                turn.Notes.Add(request.Reason);
                Run(saga, turn, state =>
                {
                    turn.Failure = request.Reason;
                    return state;
                });
                break;
            case SagaAct.Retry or SagaAct.Skip when status == SagaStatus.NeedsAttention && IsAbout(turn, request):
                turn.Notes.Add(request.Reason);
                turn.IsChanged = true;
                var isSkipped = request.Act == SagaAct.Skip;
                if (Current(turn) is >= 0 and var current)
                    ChangeStep(turn, current, step => step with { Undo = isSkipped ? SagaUndo.Skipped : SagaUndo.Failed, Attempts = 0 });
                else
                    turn.Document.WasCompensated |= isSkipped;
                UndoNext(saga, turn);
                break;
            default:
                return; // Somebody else was faster, or it went on by itself.
        }

        Record(saga, turn, phase);
    }

    private static void Start<TState>(Saga<TState> saga, SagaRule<TState> rule, object message, SagaTurn<TState> turn)
        where TState : notnull
    {
        turn.Document = new() { Id = turn.Id, Started = turn.Now };
        if (rule.Completes is { } step)
            turn.MarkDone(step, rule.Detail?.Invoke(message));
        Run(saga, turn, _ => rule.Start!(message, new(turn)));
    }

    private static void HandleRunning<TState>(Saga<TState> saga, SagaRule<TState> rule, object message, SagaTurn<TState> turn)
        where TState : notnull
    {
        if (rule.Completes is { } step && !turn.MarkDone(step, rule.Detail?.Invoke(message)))
            return; // Said before, in another message.
        turn.IsChanged = rule.Completes is not null;
        if (rule.Handle is { } handle)
            Run(saga, turn, state => handle(state, message, new(turn)));
    }

    private static void HandleCompensating<TState>(Saga<TState> saga, SagaRule<TState> rule, object message, SagaTurn<TState> turn)
        where TState : notnull
    {
        turn.IsChanged = true;
        var detail = rule.Detail?.Invoke(message);
        var current = Current(turn);
        var isAbout = current >= 0 && (rule.Detail is null ? IsOnly(turn, current) : turn.Document.Steps[current].Detail == detail);
        if (isAbout && rule.Confirms == turn.Document.Steps[current].Name)
        {
            ChangeStep(turn, current, step => step with { Undo = SagaUndo.Undone });
            UndoNext(saga, turn);
        }
        else if (isAbout && rule.Refuses == turn.Document.Steps[current].Name && turn.Document.Steps[current].Undo == SagaUndo.Sent)
            FailUndo(saga, turn, current, rule.Reason!(message));
        else if (rule.Completes is { } done && turn.MarkDone(done, detail))
        {
            // Its turn comes when the one that is being undone is through.
            turn.Notes.Add($"'{done}' came late");
            if (current < 0)
                UndoNext(saga, turn);
        }
        else
            turn.Notes.Add("changes nothing: it came too late, or does not say which step it is about");
    }

    private static void HandleMissing<TState>(Saga<TState> saga, SagaRule<TState> rule, object message, SagaTurn<TState> turn)
        where TState : notnull
    {
        if (rule.Missing is { } missing)
            missing(message, new(turn));
        else if (rule.NotFound == SagaNotFound.DeadLetter)
            throw new MessageRejectedException($"There is no running saga '{saga.Name}' with the ID '{turn.Id}'.");
        else if (rule.NotFound == SagaNotFound.Retry)
            throw new SagaNotFoundException(saga.Name, turn.Id, turn.Message);
    }

    /// <summary>Calls a handler and does what it decided about the end.</summary>
    private static void Run<TState>(Saga<TState> saga, SagaTurn<TState> turn, Func<TState, TState> handle)
        where TState : notnull
    {
        (turn.IsChanged, turn.IsRunning) = (true, true);
        turn.State = handle(turn.State) ?? throw new InvalidOperationException($"A handler of the saga '{saga.Name}' gave no state.");
        turn.IsRunning = false;
        if (turn.IsComplete)
            End(turn, SagaStatus.Completed);
        else if (turn.Failure is { } reason)
        {
            turn.Document.Timeouts.Clear();
            turn.Outputs.RemoveAll(output => output.Message is SagaTimeout);
            turn.Document.Reason = reason;
            UndoNext(saga, turn);
        }
    }

    /// <summary>Undoes what is done and not yet undone, the last one first, up to one that has to be waited for.</summary>
    private static void UndoNext<TState>(Saga<TState> saga, SagaTurn<TState> turn)
        where TState : notnull
    {
        (turn.Document.Status, turn.Document.Attention) = (SagaStatus.Compensating, null);
        turn.CancelTimeout(UndoTimeout);
        for (var undone = 0; Next(turn) is >= 0 and var next; undone++)
        {
            if (undone == MaxUndoneAtOnce)
            {
                turn.Schedule(UndoTimeout, TimeSpan.Zero);
                return;
            }

            var record = turn.Document.Steps[next];
            if (FindStep(saga, turn, next) is not { } step)
                return;
            if (step.Undo is { } undo && !TrySend(
                turn,
                $"The command that undoes '{step.Name}' cannot be made",
                () => turn.Send(step.To, undo(turn.State, record.Detail) ?? throw new InvalidOperationException("It is null."))))
            {
                ChangeStep(turn, next, one => one with { Undo = SagaUndo.Failed });
                return;
            }

            if (step.IsAwaited)
            {
                ChangeStep(turn, next, one => one with { Undo = SagaUndo.Sent, Attempts = one.Attempts + 1 });
                turn.Schedule(UndoTimeout, step.Within);
                return;
            }

            ChangeStep(turn, next, one => one with { Undo = SagaUndo.Undone });
        }

        if (!turn.Document.WasCompensated && saga.Compensated is { } tell
            && !TrySend(turn, "Everything is undone, but what follows from that failed", () => tell(turn.State, new(turn))))
            return;
        turn.Document.WasCompensated = true;
        End(turn, SagaStatus.Compensated);
    }

    /// <summary>Lets the application send something. When that fails, or what it sends cannot leave, the saga needs attention.</summary>
    private static bool TrySend(SagaTurn turn, string failure, Action send)
    {
        var sent = turn.Outputs.Count;
        try
        {
            send();
            if (turn.Encode is { } encode)
                turn.Outputs[sent..].ForEach(encode);
            return true;
        }
        catch (Exception exception)
        {
            // Not swallowed: it would fail every time, and take the message that made the saga fail to the dead letters.
            turn.Outputs.RemoveRange(sent, turn.Outputs.Count - sent);
            Park(turn, $"{failure}: {exception.Message}");
            return false;
        }
    }

    /// <summary>The answer did not come in time, the pause after a failure is over, or there was too much for one commit.</summary>
    private static void ContinueUndo<TState>(Saga<TState> saga, SagaTurn<TState> turn)
        where TState : notnull
    {
        if (Current(turn) is >= 0 and var current && turn.Document.Steps[current].Undo == SagaUndo.Sent)
            FailUndo(saga, turn, current, "there was no answer in time");
        else
            UndoNext(saga, turn);
    }

    private static void FailUndo<TState>(Saga<TState> saga, SagaTurn<TState> turn, int at, string reason)
        where TState : notnull
    {
        var record = turn.Document.Steps[at];
        ChangeStep(turn, at, step => step with { Undo = SagaUndo.Failed });
        turn.CancelTimeout(UndoTimeout);
        turn.Notes.Add($"undoing '{record.Name}' failed: {reason}");
        if (FindStep(saga, turn, at) is not { } step)
            return;
        if (record.Attempts >= step.Attempts)
        {
            Park(turn, $"The step '{record.Name}' could not be undone in {record.Attempts} attempts: {reason}");
            return;
        }

        var delay = step.RetryDelay * Math.Pow(2, Math.Min(record.Attempts - 1, MaxDoublings));
        turn.Schedule(UndoTimeout, delay < turn.Options.MaxTimeout ? delay : turn.Options.MaxTimeout);
    }

    private static void Park(SagaTurn turn, string reason)
    {
        (turn.Document.Status, turn.Document.Attention) = (SagaStatus.NeedsAttention, reason);
        turn.Notes.Add(reason);
    }

    private static void End(SagaTurn turn, SagaStatus status)
    {
        (turn.Document.Status, turn.Document.Ended) = (status, turn.Now);
        turn.Document.Timeouts.Clear();
        turn.Outputs.RemoveAll(output => output.Message is SagaTimeout);
    }

    /// <summary>
    /// The step that is to be undone. A process of another version recorded one that is not known here, and nobody but that version can say how it is
    /// undone: when none has taken the message in a minute the saga needs attention.
    /// </summary>
    /// <exception cref="SagaStateException">To be tried again, perhaps by that version.</exception>
    private static SagaStep<TState>? FindStep<TState>(Saga<TState> saga, SagaTurn<TState> turn, int at)
        where TState : notnull
    {
        var name = turn.Document.Steps[at].Name;
        if (saga.Steps.TryGetValue(name, out var step))
            return step;
        if (turn.Attempt < MaxAttemptsWithoutStep)
            throw new SagaStateException(saga.Name, turn.Id, $"This version of the saga has no step '{name}', which is to be undone; a newer one may.");
        ChangeStep(turn, at, one => one with { Undo = SagaUndo.Failed });
        Park(turn, $"This version of the saga has no step '{name}', which is to be undone: retry it where the step is known, or skip it");
        return null;
    }

    /// <summary>Whether the message was published twice, and handled already.</summary>
    private static bool IsHandled(SagaTurn turn) => turn.HasDocument && turn.Document.Timeline.Exists(entry => entry.MessageId == turn.MessageId);

    /// <summary>Whether what the operator saw still needs attention. Two may see the same, and the second must not pass over what comes after it.</summary>
    private static bool IsAbout(SagaTurn turn, SagaRequest request) => turn.Document.FindCurrent() is { } step
        ? (step.Name, step.Detail) == (request.Step, request.Detail)
        : request.Step is null;

    /// <summary>Whether an answer without a detail can be about no other step: one that was asked for twice is answered twice.</summary>
    private static bool IsOnly(SagaTurn turn, int current) =>
        turn.Document.Steps[current].Detail is null || turn.Document.Steps.Count(step => step.Name == turn.Document.Steps[current].Name) == 1;

    private static int Current(SagaTurn turn) => turn.Document.Steps.FindIndex(SagaDocument.IsCurrent);

    /// <summary>The step to be undone now, or -1.</summary>
    private static int Next(SagaTurn turn) => Current(turn) is >= 0 and var current
        ? current
        : turn.Document.Steps.FindLastIndex(step => step.Undo == SagaUndo.None);

    private static void ChangeStep(SagaTurn turn, int at, Func<SagaStepRecord, SagaStepRecord> change)
    {
        if (at >= 0)
            turn.Document.Steps[at] = change(turn.Document.Steps[at]);
    }

    private static string Phase<TState>(Saga<TState> saga, SagaTurn<TState> turn)
        where TState : notnull => !turn.HasDocument
            ? ""
            : turn.Document.Status == SagaStatus.Running && saga.Phase is { } phase ? phase(turn.State) : turn.Document.Status.ToString();

    /// <summary>Writes what happened into the timeline, of which the first entry and the last ones stay.</summary>
    private static void Record<TState>(Saga<TState> saga, SagaTurn<TState> turn, string from)
        where TState : notnull
    {
        if (!turn.IsChanged)
            return;
        var timeline = turn.Document.Timeline;
        timeline.Add(new(turn.Now, turn.Message, turn.MessageId)
        {
            Sent = [.. turn.Outputs.Where(output => output.Stream is not null).Select(output => $"{output.Stream} {Saga.NameOf(output.Message.GetType())}")],
            From = from,
            To = Phase(saga, turn),
            Notes = turn.Notes,
        });
        if (timeline.Count <= turn.Options.MaxTimeline)
            return;
        timeline.RemoveAt(1);
        turn.Document.TimelineDropped++;
    }
}
