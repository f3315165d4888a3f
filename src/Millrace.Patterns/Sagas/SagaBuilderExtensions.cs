namespace Millrace.Sagas;

/// <summary>Adds sagas to Millrace.</summary>
public static class SagaBuilderExtensions
{
    extension(MillraceBuilder builder)
    {
        /// <summary>
        /// Adds a saga that listens to one stream, see
        /// <see cref="AddSaga(MillraceBuilder, Saga, IReadOnlyList{string}, string, Action{SagaOptions}?)"/>.
        /// </summary>
        /// <typeparam name="TSaga">The saga.</typeparam>
        /// <param name="stream">The stream.</param>
        /// <param name="group">The consumer group, its own.</param>
        /// <param name="configure">Changes the settings.</param>
        /// <exception cref="MillraceConfigurationException">What the saga says, or a setting, is wrong.</exception>
        public MillraceBuilder AddSaga<TSaga>(string stream, string group, Action<SagaOptions>? configure = null)
            where TSaga : Saga, new() => builder.AddSaga(new TSaga(), [stream], group, configure);

        /// <summary>
        /// Adds a saga: its messages are consumed from the streams by a group of its own, instances live beside the first stream, and
        /// <see cref="SagaStore{TState}"/> reads them. The processes that add it share its work. Messages a stream carries and the saga has no rule
        /// for are passed over.
        /// </summary>
        /// <param name="saga">The saga.</param>
        /// <param name="streams">The streams its messages come on; the first one is also the one its instances are kept beside.</param>
        /// <param name="group">The consumer group; no other consumer of its messages, and no other saga, is in it.</param>
        /// <param name="configure">Changes the settings.</param>
        /// <exception cref="MillraceConfigurationException">What the saga says, or a setting, is wrong.</exception>
        public MillraceBuilder AddSaga(Saga saga, IReadOnlyList<string> streams, string group, Action<SagaOptions>? configure = null)
        {
            ArgumentNullException.ThrowIfNull(saga);
            ArgumentNullException.ThrowIfNull(streams);
            ArgumentException.ThrowIfNullOrEmpty(group);
            if (streams.Count == 0)
                throw new MillraceConfigurationException([$"Saga '{saga.Name}': it has no stream."]);
            var options = new SagaOptions();
            configure?.Invoke(options);
            saga.AddTo(builder, new(saga.Name, [.. streams], group, options));
            return builder;
        }
    }
}
